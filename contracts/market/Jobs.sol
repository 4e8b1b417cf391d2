// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "../interfaces/IMarket.sol";
import {Messages} from "../libraries/Messages.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Grants} from "./Grants.sol";

/// @title Jobs from `openJob` to the node's answer and the buyer's. See IMarket, which says what every call does.
abstract contract Jobs is Grants {
    using Messages for Receipt;

    /// @inheritdoc IMarket
    uint40 public immutable window;
    /// @inheritdoc IMarket
    uint40 public immutable jobTime;
    /// @inheritdoc IMarket
    uint48 public immutable expiryPenalty;

    mapping(bytes32 jobId => Job) internal _jobs;

    constructor(uint40 window_, uint40 jobTime_, uint48 expiryPenalty_) {
        window = window_;
        jobTime = jobTime_;
        expiryPenalty = expiryPenalty_;
    }

    /// @inheritdoc IMarket
    function openJob(bytes32 offerDigest, uint16 index, bytes32 algorithm, bytes32 spec)
        external
        returns (bytes32 jobId)
    {
        // Check:
        address buyer = _msgSender();
        if (paused) revert Market_Paused();
        Grant storage held = _grants[offerDigest][buyer];
        Grant memory grant = held;
        if (grant.jobsOpened == grant.jobsPaid) revert Market_NoUseLeft(offerDigest, buyer, grant.jobsPaid);
        if (_today() > grant.lastDay) revert Market_GrantEnded(offerDigest, buyer, grant.lastDay);
        if (index != grant.jobsOpened) revert Market_WrongIndex(index, grant.jobsOpened);

        // Effect:
        held.jobsOpened = index + 1;
        jobId = keccak256(abi.encode(offerDigest, buyer, index, algorithm, spec));
        uint40 until = uint40(block.timestamp) + jobTime;
        Job storage job = _jobs[jobId];
        (job.provider, job.price, job.state, job.until) = (grant.provider, grant.price, State.Open, until);
        emit JobOpened(
            jobId, grant.provider, buyer, offerDigest, index, algorithm, spec, grant.price, until
        );
    }

    /// @inheritdoc IMarket
    function submit(Receipt calldata receipt, bytes calldata signature, bytes calldata wrappedKey) external {
        // Check:
        Job storage job = _requireOpen(receipt.jobId);
        bytes32 digest = _hashTypedDataV4(receipt.hash());
        Signatures.requireBy(participants.nodeOf(job.provider), digest, signature);
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
        _requireBuyer(request);
        if (job.state != State.Submitted) revert Market_WrongState(jobId, job.state);

        // Effect:
        _settle(jobId, job);
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
        _requireOffer(request, offer);

        // Effect:
        if (fault == Fault.Node) {
            uint48 refund = _refund(job, State.Failed, request.buyer);
            emit JobFailed(jobId, 0, refund, report);
            return;
        }
        if (fault == Fault.Policy) _grants[request.offerDigest][request.buyer].lastDay = 0;
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

        // Effect: at most the price, so that jobs that cost nothing cannot eat a bond. So the cast is safe.
        uint48 penalty = uint48(_slashUpTo(job.provider, _min(expiryPenalty, job.price)));
        uint48 refund = _refund(job, State.Expired, request.buyer);
        balanceOf[request.buyer] += penalty;
        emit JobExpired(jobId, refund, penalty);
    }

    /// @inheritdoc IMarket
    function jobOf(bytes32 jobId) external view returns (Job memory) {
        return _jobs[jobId];
    }

    /// @inheritdoc IMarket
    function jobIdOf(Request calldata request) public pure returns (bytes32) {
        return keccak256(abi.encode(request));
    }

    function _settle(bytes32 jobId, Job storage job) internal {
        (address provider, uint48 amount) = (job.provider, job.price);
        job.state = State.Settled;
        balanceOf[provider] += amount;
        emit JobSettled(jobId, provider, amount);
    }

    function _finishFault(bytes32 jobId, Job storage job) internal {
        uint48 fee = job.price;
        job.state = State.Failed;
        balanceOf[job.provider] += fee;
        emit JobFailed(jobId, fee, 0, job.receipt);
    }

    function _requireOffer(Request calldata request, Offer calldata offer) internal view {
        bytes32 offerDigest = digestOf(offer);
        if (offerDigest != request.offerDigest) revert Market_WrongOffer(offerDigest, request.offerDigest);
    }

    function _requireBuyer(Request calldata request) internal view {
        address caller = _msgSender();
        if (caller != request.buyer) revert Market_WrongBuyer(caller, request.buyer);
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
        address caller = _msgSender();
        if (caller != node) revert Market_WrongNode(caller, node);
    }

    /// @dev At most `amount`, since `bps` is at most a fifth in any offer that was bought.
    function _shareDown(uint48 amount, uint16 bps) private pure returns (uint48) {
        return uint48((uint256(amount) * bps) / 10_000);
    }
}
