// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IMarket} from "./interfaces/IMarket.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {Messages} from "./libraries/Messages.sol";
import {OfferRules} from "./libraries/OfferRules.sol";

/// @title See IMarket, which says what every call does.
contract Market is EIP712, IMarket {
    using Messages for Offer;
    using Messages for Receipt;
    using OfferRules for Offer;
    using SafeERC20 for IERC20;

    uint40 private constant MAX_DURATION = 365 days;

    IERC20 public immutable token;
    IERC721 public immutable registry;
    IParticipantRegistry public immutable participants;
    /// @inheritdoc IMarket
    address public immutable pauser;
    /// @inheritdoc IMarket
    uint40 public immutable window;
    /// @inheritdoc IMarket
    uint40 public immutable jobTime;

    /// @inheritdoc IMarket
    bool public paused;
    /// @inheritdoc IMarket
    mapping(address account => uint256) public balanceOf;
    /// @inheritdoc IMarket
    mapping(uint256 assetId => uint32) public epochOf;
    mapping(bytes32 offerDigest => mapping(address buyer => Grant)) private _grants;
    mapping(bytes32 jobId => Job) private _jobs;

    constructor(
        IERC20 token_,
        IERC721 registry_,
        IParticipantRegistry participants_,
        address pauser_,
        uint40 window_,
        uint40 jobTime_
    ) EIP712("Steelyard Market", "1") {
        // Check:
        _requireDuration(window_);
        _requireDuration(jobTime_);

        // Effect:
        token = token_;
        registry = registry_;
        participants = participants_;
        pauser = pauser_;
        window = window_;
        jobTime = jobTime_;
    }

    // Offers

    /// @inheritdoc IMarket
    function announceOffer(uint256 assetId, bytes32 offerDigest, bytes32 document) external {
        emit OfferAnnounced(assetId, offerDigest, document, msg.sender);
    }

    /// @inheritdoc IMarket
    function announceApproval(uint256 assetId, bytes32 subject, bytes32 document) external {
        emit ApprovalAnnounced(assetId, subject, document, msg.sender);
    }

    /// @inheritdoc IMarket
    function raiseEpoch(uint256 assetId) external {
        // Check:
        if (msg.sender != registry.ownerOf(assetId)) revert Market_NotAssetOwner(assetId, msg.sender);

        // Effect:
        emit EpochRaised(assetId, ++epochOf[assetId]);
    }

    // Grants

    /// @inheritdoc IMarket
    function buy(Offer calldata offer, bytes calldata signature, uint16 uses) external {
        _buy(offer, signature, uses);
    }

    /// @inheritdoc IMarket
    function buyWithPermit(Offer calldata offer, bytes calldata signature, uint16 uses, Permit calldata permit)
        external
    {
        // Interaction: first, since the payment needs it; whoever sent the permit before us did no harm.
        try IERC20Permit(address(token)).permit(
            msg.sender, address(this), permit.value, permit.deadline, permit.v, permit.r, permit.s
        ) {} catch {}

        _buy(offer, signature, uses);
    }

    /// @inheritdoc IMarket
    function claimUnused(bytes32 offerDigest, address buyer) external {
        // Check:
        Grant memory grant = _grants[offerDigest][buyer];
        uint16 uses = grant.jobsPaid - grant.jobsOpened;
        if (uses == 0) revert Market_NothingUnused(offerDigest, buyer);
        if (_today() <= grant.lastDay) revert Market_GrantNotEnded(offerDigest, buyer, grant.lastDay);

        // Effect:
        uint256 amount = uint256(uses) * grant.price;
        _grants[offerDigest][buyer].jobsPaid = grant.jobsOpened;
        balanceOf[buyer] += amount;
        emit UnusedClaimed(offerDigest, buyer, uses, amount);
    }

    // Jobs

    /// @inheritdoc IMarket
    function openJob(bytes32 offerDigest, uint16 index, bytes32 algorithm, bytes32 spec)
        external
        returns (bytes32 jobId)
    {
        // Check:
        if (paused) revert Market_Paused();
        Grant memory grant = _grants[offerDigest][msg.sender];
        if (grant.jobsOpened == grant.jobsPaid) revert Market_NoUseLeft(offerDigest, msg.sender, grant.jobsPaid);
        if (_today() > grant.lastDay) revert Market_GrantEnded(offerDigest, msg.sender, grant.lastDay);
        if (index != grant.jobsOpened) revert Market_WrongIndex(index, grant.jobsOpened);

        // Effect:
        _grants[offerDigest][msg.sender].jobsOpened = index + 1;
        jobId = keccak256(abi.encode(offerDigest, msg.sender, index, algorithm, spec));
        uint40 until = uint40(block.timestamp) + jobTime;
        Job storage job = _jobs[jobId];
        (job.provider, job.price, job.state, job.until) = (grant.provider, grant.price, State.Open, until);
        emit JobOpened(
            jobId, grant.provider, msg.sender, offerDigest, index, algorithm, spec, grant.price, until
        );
    }

    /// @inheritdoc IMarket
    function submit(Receipt calldata receipt, bytes calldata signature, bytes calldata wrappedKey) external {
        // Check:
        Job storage job = _requireOpen(receipt.jobId);
        bytes32 digest = _hashTypedDataV4(receipt.hash());
        _requireSigner(participants.nodeOf(job.provider), digest, signature);
        bytes32 keyDigest = keccak256(wrappedKey);
        if (keyDigest != receipt.keyDigest) revert Market_WrongKeyDigest(keyDigest, receipt.keyDigest);

        // Effect:
        uint40 until = uint40(block.timestamp) + window;
        (job.state, job.until, job.receipt) = (State.Submitted, until, digest);
        emit ReceiptSubmitted(receipt.jobId, receipt, signature, wrappedKey, until);
    }

    /// @inheritdoc IMarket
    function accept(Request calldata request) external {
        // Check:
        bytes32 jobId = jobIdOf(request);
        Job storage job = _jobs[jobId];
        if (msg.sender != request.buyer) revert Market_WrongBuyer(msg.sender, request.buyer);
        if (job.state != State.Submitted) revert Market_WrongState(jobId, job.state);

        // Effect:
        _settle(jobId, job);
    }

    /// @inheritdoc IMarket
    function finalise(bytes32[] calldata jobIds) external {
        for (uint256 i = 0; i < jobIds.length; ++i) {
            // Check:
            Job storage job = _jobs[jobIds[i]];
            if (block.timestamp <= job.until) continue;

            // Effect:
            if (job.state == State.Submitted) _settle(jobIds[i], job);
            else if (job.state == State.Faulted) _finishFault(jobIds[i], job);
        }
    }

    /// @inheritdoc IMarket
    function reject(Request calldata request, bytes32 reason) external {
        // Check:
        bytes32 jobId = jobIdOf(request);
        Job storage job = _requireOpen(jobId);
        _requireNode(job.provider);

        // Effect:
        uint48 refund = _refund(job, State.Rejected, request.buyer);
        emit JobRejected(jobId, reason, refund);
    }

    /// @inheritdoc IMarket
    function fail(Request calldata request, Offer calldata offer, Fault fault, bytes32 report) external {
        // Check:
        bytes32 jobId = jobIdOf(request);
        Job storage job = _requireOpen(jobId);
        _requireNode(job.provider);
        bytes32 offerDigest = digestOf(offer);
        if (offerDigest != request.offerDigest) revert Market_WrongOffer(offerDigest, request.offerDigest);

        // Effect:
        if (fault == Fault.Node) {
            uint48 refund = _refund(job, State.Failed, request.buyer);
            emit JobFailed(jobId, 0, refund, report);
            return;
        }
        if (fault == Fault.Policy) _grants[offerDigest][request.buyer].lastDay = 0;
        uint48 fee = _shareDown(job.price, offer.failureFeeBps);
        (uint48 rest, uint40 until) = _startFault(job, request.buyer, fee, report);
        emit JobFaulted(jobId, fault, fee, rest, report, until);
    }

    /// @inheritdoc IMarket
    function expire(Request calldata request) external {
        // Check:
        bytes32 jobId = jobIdOf(request);
        Job storage job = _jobs[jobId];
        if (job.state != State.Open) revert Market_WrongState(jobId, job.state);
        if (block.timestamp <= job.until) revert Market_TooEarly(jobId, job.until);

        // Effect:
        uint48 refund = _refund(job, State.Expired, request.buyer);
        emit JobExpired(jobId, refund);
    }

    // Money and control

    /// @inheritdoc IMarket
    function withdraw(address to) external {
        // Check:
        if (to == address(0) || to == address(this)) revert Market_BadRecipient(to);
        uint256 amount = balanceOf[msg.sender];
        if (amount == 0) revert Market_NothingOwed(msg.sender);

        // Effect:
        balanceOf[msg.sender] = 0;
        emit Withdrawn(msg.sender, to, amount);

        // Interaction:
        token.safeTransfer(to, amount);
    }

    /// @inheritdoc IMarket
    function setPaused(bool paused_) external {
        // Check:
        if (msg.sender != pauser) revert Market_NotPauser(msg.sender);

        // Effect:
        paused = paused_;
        emit PausedSet(paused_);
    }

    // Views

    /// @inheritdoc IMarket
    function grantOf(bytes32 offerDigest, address buyer) external view returns (Grant memory) {
        return _grants[offerDigest][buyer];
    }

    /// @inheritdoc IMarket
    function jobOf(bytes32 jobId) external view returns (Job memory) {
        return _jobs[jobId];
    }

    /// @inheritdoc IMarket
    function digestOf(Offer calldata offer) public view returns (bytes32) {
        return _hashTypedDataV4(offer.hash());
    }

    /// @inheritdoc IMarket
    function jobIdOf(Request calldata request) public pure returns (bytes32) {
        return keccak256(abi.encode(request));
    }

    // Parts of calls

    function _buy(Offer calldata offer, bytes calldata signature, uint16 uses) private {
        // Check:
        if (paused) revert Market_Paused();
        if (uses == 0) revert Market_NoUses();
        offer.requireValid(epochOf[offer.assetId]);
        bytes32 offerDigest = digestOf(offer);
        _requireSigner(registry.ownerOf(offer.assetId), offerDigest, signature);

        // Effect:
        uint16 lastDay = _addUses(offer, offerDigest, uses);
        emit AccessBought(
            offerDigest, msg.sender, offer.provider, offer.assetId, offer.price, uses, lastDay
        );

        // Interaction:
        token.safeTransferFrom(msg.sender, address(this), uint256(uses) * offer.price);
    }

    function _addUses(Offer calldata offer, bytes32 offerDigest, uint16 uses) private returns (uint16 lastDay) {
        // Check:
        Grant storage grant = _grants[offerDigest][msg.sender];
        if (grant.provider != address(0) && grant.lastDay == 0) {
            revert Market_GrantEnded(offerDigest, msg.sender, 0);
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

    function _settle(bytes32 jobId, Job storage job) private {
        (address provider, uint48 amount) = (job.provider, job.price);
        job.state = State.Settled;
        balanceOf[provider] += amount;
        emit JobSettled(jobId, provider, amount);
    }

    function _startFault(Job storage job, address buyer, uint48 fee, bytes32 report)
        private
        returns (uint48 rest, uint40 until)
    {
        rest = job.price - fee;
        until = uint40(block.timestamp) + window;
        (job.price, job.state, job.until, job.receipt) = (fee, State.Faulted, until, report);
        balanceOf[buyer] += rest;
    }

    function _finishFault(bytes32 jobId, Job storage job) private {
        uint48 fee = job.price;
        job.state = State.Failed;
        balanceOf[job.provider] += fee;
        emit JobFailed(jobId, fee, 0, job.receipt);
    }

    function _refund(Job storage job, State end, address buyer) private returns (uint48 refund) {
        refund = job.price;
        job.state = end;
        balanceOf[buyer] += refund;
    }

    function _requireOpen(bytes32 jobId) private view returns (Job storage job) {
        job = _jobs[jobId];
        if (job.state != State.Open) revert Market_WrongState(jobId, job.state);
        if (block.timestamp > job.until) revert Market_TooLate(jobId, job.until);
    }

    function _requireNode(address provider) private view {
        address node = participants.nodeOf(provider);
        if (msg.sender != node) revert Market_WrongNode(msg.sender, node);
    }

    /// @dev A malformed or malleable signature recovers to 0, which must not pass for a node that is not set.
    function _requireSigner(address expected, bytes32 digest, bytes calldata signature) private pure {
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (signer == address(0) || signer != expected) revert Market_WrongSigner(signer, expected);
    }

    function _requireDuration(uint40 duration) private pure {
        if (duration == 0 || duration > MAX_DURATION) revert Market_BadDuration(duration, MAX_DURATION);
    }

    /// @dev At most `amount`, since `bps` is at most a fifth in any offer that was bought.
    function _shareDown(uint48 amount, uint16 bps) private pure returns (uint48) {
        return uint48((uint256(amount) * bps) / 10_000);
    }

    /// @dev Days since 1970-01-01 (UTC).
    function _today() private view returns (uint256) {
        return block.timestamp / 1 days;
    }
}
