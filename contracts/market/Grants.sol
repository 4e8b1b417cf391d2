// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Context} from "@openzeppelin/contracts/utils/Context.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IAssetRegistry} from "../interfaces/IAssetRegistry.sol";
import {IMarket} from "../interfaces/IMarket.sol";
import {IParticipantRegistry} from "../interfaces/IParticipantRegistry.sol";
import {Messages} from "../libraries/Messages.sol";
import {OfferRules} from "../libraries/OfferRules.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Escrow} from "./Escrow.sol";

/// @title Offers and what was bought on them. See IMarket, which says what every call does.
abstract contract Grants is EIP712, AccessManaged, Escrow, IMarket {
    using Messages for Offer;
    using OfferRules for Offer;
    using SafeERC20 for IERC20;

    IAssetRegistry public immutable registry;
    IParticipantRegistry public immutable participants;

    /// @inheritdoc IMarket
    bool public paused;
    /// @inheritdoc IMarket
    mapping(uint256 assetId => uint32) public epochOf;
    mapping(bytes32 offerDigest => mapping(address buyer => Grant)) internal _grants;

    constructor(IAssetRegistry registry_, IParticipantRegistry participants_) {
        registry = registry_;
        participants = participants_;
    }

    /// @inheritdoc IMarket
    function announceOffer(uint256 assetId, bytes32 offerDigest, bytes32 document) external {
        emit OfferAnnounced(assetId, offerDigest, document, _msgSender());
    }

    /// @inheritdoc IMarket
    function announceApproval(uint256 assetId, bytes32 subject, bytes32 document) external {
        emit ApprovalAnnounced(assetId, subject, document, _msgSender());
    }

    /// @inheritdoc IMarket
    function raiseEpoch(uint256 assetId) external {
        // Check:
        address caller = _msgSender();
        if (caller != registry.ownerOf(assetId)) revert Market_NotAssetOwner(assetId, caller);

        // Effect:
        emit EpochRaised(assetId, ++epochOf[assetId]);
    }

    /// @inheritdoc IMarket
    function setPaused(bool paused_) external restricted {
        // Effect:
        paused = paused_;
        emit PausedSet(paused_);
    }

    /// @inheritdoc IMarket
    function buy(Offer calldata offer, bytes calldata signature, uint16 uses) external {
        _buy(_msgSender(), offer, signature, uses);
    }

    /// @inheritdoc IMarket
    function buyWithPermit(Offer calldata offer, bytes calldata signature, uint16 uses, Permit calldata permit)
        external
    {
        // Interaction: first, since the payment needs it; whoever sent the permit before us did no harm.
        address buyer = _msgSender();
        try IERC20Permit(address(token)).permit(
            buyer, address(this), permit.value, permit.deadline, permit.v, permit.r, permit.s
        ) {} catch {}

        _buy(buyer, offer, signature, uses);
    }

    /// @inheritdoc IMarket
    function claimUnused(bytes32 offerDigest, address buyer) external {
        // Check:
        uint16 lastDay = _grants[offerDigest][buyer].lastDay;
        if (_today() <= lastDay) revert Market_GrantNotEnded(offerDigest, buyer, lastDay);

        // Effect:
        _returnUnused(offerDigest, buyer);
    }

    /// @inheritdoc IMarket
    function claimUnusedEarly(Offer calldata offer) external {
        // Check:
        bytes32 offerDigest = digestOf(offer);
        bool kept = !paused && _isBonded(offer.provider) && _ownsActive(offer.provider, offer.assetId);
        address buyer = _msgSender();
        if (kept) revert Market_NoReasonToLeave(offerDigest, buyer);

        // Effect:
        _returnUnused(offerDigest, buyer);
    }

    /// @inheritdoc IMarket
    function grantOf(bytes32 offerDigest, address buyer) external view returns (Grant memory) {
        return _grants[offerDigest][buyer];
    }

    /// @inheritdoc IMarket
    function digestOf(Offer calldata offer) public view returns (bytes32) {
        return _hashTypedDataV4(offer.hash());
    }

    function _buy(address buyer, Offer calldata offer, bytes calldata signature, uint16 uses) private {
        // Check:
        if (paused) revert Market_Paused();
        if (uses == 0) revert Market_NoUses();
        address owner = registry.ownerIfActive(offer.assetId);
        offer.requireValid(buyer, owner, epochOf[offer.assetId]);
        if (!_isBonded(owner)) revert Market_BondTooSmall(owner, bondOf(owner).staked, minBond);
        if (offer.requiredRole != 0 && !participants.isAccredited(buyer, offer.requiredRole)) {
            revert Market_NotAccredited(buyer, offer.requiredRole);
        }
        bytes32 offerDigest = digestOf(offer);
        Signatures.requireBy(owner, offerDigest, signature);

        // Effect:
        uint16 lastDay = _addUses(buyer, offer, offerDigest, uses);
        emit AccessBought(offerDigest, buyer, owner, offer.assetId, offer.price, uses, lastDay);

        // Interaction:
        token.safeTransferFrom(buyer, address(this), uint256(uses) * offer.price);
    }

    function _addUses(address buyer, Offer calldata offer, bytes32 offerDigest, uint16 uses)
        private
        returns (uint16 lastDay)
    {
        // Check:
        Grant storage grant = _grants[offerDigest][buyer];
        if (grant.provider != address(0) && grant.lastDay == 0) {
            revert Market_GrantEnded(offerDigest, buyer, 0);
        }
        uint256 paid = uint256(grant.jobsPaid) + uses;
        if (paid > offer.maxUses) revert Market_TooManyUses(paid, offer.maxUses);
        uint256 day = _today() + offer.termDays;
        if (day > type(uint16).max) revert Market_TermTooLong(day);

        // Effect: casts are safe, both were just bounded.
        lastDay = uint16(day);
        (grant.provider, grant.price, grant.jobsPaid, grant.lastDay) =
            (offer.provider, offer.price, uint16(paid), lastDay);
    }

    function _returnUnused(bytes32 offerDigest, address buyer) private {
        // Check:
        Grant memory grant = _grants[offerDigest][buyer];
        uint16 uses = grant.jobsPaid - grant.jobsOpened;
        if (uses == 0) revert Market_NothingUnused(offerDigest, buyer);

        // Effect:
        uint256 amount = uint256(uses) * grant.price;
        _grants[offerDigest][buyer].jobsPaid = grant.jobsOpened;
        balanceOf[buyer] += amount;
        emit UnusedClaimed(offerDigest, buyer, uses, amount);
    }

    function _ownsActive(address provider, uint256 assetId) private view returns (bool) {
        return registry.isActive(assetId) && registry.ownerOf(assetId) == provider;
    }

    /// @dev Who calls: the sender, or who signed what the forwarder carries.
    function _msgSender() internal view override(Context, ERC2771Context) returns (address) {
        return ERC2771Context._msgSender();
    }

    function _msgData() internal view override(Context, ERC2771Context) returns (bytes calldata) {
        return ERC2771Context._msgData();
    }

    function _contextSuffixLength() internal view override(Context, ERC2771Context) returns (uint256) {
        return ERC2771Context._contextSuffixLength();
    }

    /// @dev Days since 1970-01-01 (UTC).
    function _today() internal view returns (uint256) {
        return block.timestamp / 1 days;
    }
}
