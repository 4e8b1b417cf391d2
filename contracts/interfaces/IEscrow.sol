// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Whom the Market owes money, and what providers pledge for their nodes.
/// @notice Whatever anyone is owed is credited to `balanceOf` and withdrawn. A bond is a provider's pledge that its
/// node answers and answers rightly; what is taken from it (slashed) goes to those whom the node let down.
/// Amounts are in the smallest unit of `token` (a millionth of a euro); times are Unix seconds.
/// @dev Warning: a bond is one sum for all jobs of a provider, not one per job: what one dispute takes is missing to
/// the next. A provider whose bond is short sells nothing until it is filled up.
/// @dev Warning: what a slash or a penalty pays a buyer, a provider can pay to its own second account at once: that
/// account buys, and the provider's node lets jobs expire, or a judge of its own choice rules against it. So a bond
/// deters, and compensates, only where its provider does not drain it that way; `unbondingTime` does not stop it.
interface IEscrow {
    /// @notice A provider's pledge. Both parts can be slashed; only `staked` counts as a bond.
    struct Bond {
        uint48 staked;
        uint48 leaving; // announced to be taken out
        uint40 leavesAt; // last second in which `leaving` stays
    }

    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    event BondDeposited(address indexed provider, uint48 amount);
    event UnbondingStarted(address indexed provider, uint48 amount, uint40 leavesAt);
    event BondReleased(address indexed provider, uint48 amount);
    event BondSlashed(address indexed provider, uint48 fromStaked, uint48 fromLeaving);

    error Market_NothingOwed(address account);
    error Market_BadRecipient(address to);
    error Market_BondTooSmall(address provider, uint48 staked, uint48 wanted);
    error Market_NothingLeaves(address provider);
    error Market_BondLeavesLater(address provider, uint40 leavesAt);

    /// @notice Sends the caller's whole balance to `to`.
    function withdraw(address to) external;

    /// @notice Adds to the caller's bond; the caller must have allowed this contract `amount` of `token`.
    function depositBond(uint48 amount) external;

    /// @notice Announces that `amount` of the caller's bond shall leave. It can be slashed until `unbondingTime` is
    /// over, which starts anew for everything that leaves already.
    function startUnbonding(uint48 amount) external;

    /// @notice Credits what of the provider's bond was announced and whose time is over. Anyone may.
    function releaseBond(address provider) external;

    /// @notice What `account` is owed and can withdraw.
    function balanceOf(address account) external view returns (uint256);
    function bondOf(address provider) external view returns (Bond memory);

    /// @notice The bond that a provider needs to sell.
    function minBond() external view returns (uint48);

    /// @notice Seconds that a bond takes to leave: twice job time, window and dispute time together.
    function unbondingTime() external view returns (uint40);
}
