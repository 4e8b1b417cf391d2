// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IEscrow} from "../interfaces/IEscrow.sol";

/// @title The money of the Market: balances and bonds. See IEscrow, which says what every call does.
abstract contract Escrow is ERC2771Context, IEscrow {
    using SafeERC20 for IERC20;

    IERC20 public immutable token;
    /// @inheritdoc IEscrow
    uint48 public immutable minBond;
    /// @inheritdoc IEscrow
    uint40 public immutable unbondingTime;

    /// @inheritdoc IEscrow
    mapping(address account => uint256) public balanceOf;
    mapping(address provider => Bond) private _bonds;

    /// @dev forwarder: whoever signed a request that it carries is the caller.
    constructor(IERC20 token_, address forwarder, uint48 minBond_, uint40 unbondingTime_) ERC2771Context(forwarder) {
        token = token_;
        minBond = minBond_;
        unbondingTime = unbondingTime_;
    }

    /// @inheritdoc IEscrow
    function withdraw(address to) external {
        // Check:
        if (to == address(0) || to == address(this)) revert Market_BadRecipient(to);
        address account = _msgSender();
        uint256 amount = balanceOf[account];
        if (amount == 0) revert Market_NothingOwed(account);

        // Effect:
        balanceOf[account] = 0;
        emit Withdrawn(account, to, amount);

        // Interaction:
        token.safeTransfer(to, amount);
    }

    /// @inheritdoc IEscrow
    function depositBond(uint48 amount) external {
        // Effect:
        address provider = _msgSender();
        _bonds[provider].staked += amount;
        emit BondDeposited(provider, amount);

        // Interaction:
        token.safeTransferFrom(provider, address(this), amount);
    }

    /// @inheritdoc IEscrow
    function startUnbonding(uint48 amount) external {
        // Check:
        address provider = _msgSender();
        Bond memory bond = _bonds[provider];
        if (amount == 0 || amount > bond.staked) revert Market_BondTooSmall(provider, bond.staked, amount);

        // Effect:
        uint40 leavesAt = uint40(block.timestamp) + unbondingTime;
        _bonds[provider] = Bond(bond.staked - amount, bond.leaving + amount, leavesAt);
        emit UnbondingStarted(provider, amount, leavesAt);
    }

    /// @inheritdoc IEscrow
    function releaseBond(address provider) external {
        // Check:
        Bond memory bond = _bonds[provider];
        if (bond.leaving == 0) revert Market_NothingLeaves(provider);
        if (block.timestamp <= bond.leavesAt) revert Market_BondLeavesLater(provider, bond.leavesAt);

        // Effect:
        _bonds[provider] = Bond(bond.staked, 0, 0);
        balanceOf[provider] += bond.leaving;
        emit BondReleased(provider, bond.leaving);
    }

    /// @inheritdoc IEscrow
    function bondOf(address provider) public view returns (Bond memory) {
        return _bonds[provider];
    }

    function _isBonded(address provider) internal view returns (bool) {
        return _bonds[provider].staked >= minBond;
    }

    /// @dev Takes up to `amount` from the bond, what is staked first; the caller credits what was taken.
    function _slashUpTo(address provider, uint256 amount) internal returns (uint256 taken) {
        Bond memory bond = _bonds[provider];
        uint48 fromStaked = _min(amount, bond.staked);
        uint48 fromLeaving = _min(amount - fromStaked, bond.leaving);
        taken = uint256(fromStaked) + fromLeaving;
        if (taken == 0) return 0;
        _bonds[provider] = Bond(bond.staked - fromStaked, bond.leaving - fromLeaving, bond.leavesAt);
        emit BondSlashed(provider, fromStaked, fromLeaving);
    }

    /// @dev The cast is safe: `one` is the smaller there.
    function _min(uint256 one, uint48 other) internal pure returns (uint48) {
        return one < other ? uint48(one) : other;
    }
}
