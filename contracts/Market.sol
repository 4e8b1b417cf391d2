// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IAssetRegistry} from "./interfaces/IAssetRegistry.sol";
import {IDisputes} from "./interfaces/IDisputes.sol";
import {IMarket} from "./interfaces/IMarket.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {Escrow} from "./market/Escrow.sol";
import {Grants} from "./market/Grants.sol";
import {Jobs} from "./market/Jobs.sol";

/// @title The Market: escrow, grants, jobs, and the disputes of this file. See IMarket, IEscrow and IDisputes.
contract Market is Jobs, IDisputes {
    using SafeERC20 for IERC20;

    uint40 private constant MAX_DURATION = 365 days;

    /// @inheritdoc IDisputes
    uint40 public immutable disputeTime;
    /// @inheritdoc IDisputes
    uint48 public immutable challengeBond;
    /// @inheritdoc IDisputes
    uint48 public immutable judgeFee;

    mapping(bytes32 jobId => Dispute) private _disputes;

    constructor(
        IERC20 token_,
        IAssetRegistry registry_,
        IParticipantRegistry participants_,
        address authority_,
        address forwarder,
        Rules memory rules
    )
        EIP712("Steelyard Market", "1")
        AccessManaged(authority_)
        Escrow(token_, forwarder, rules.minBond, 2 * (rules.jobTime + rules.window + rules.disputeTime))
        Grants(registry_, participants_)
        Jobs(rules.window, rules.jobTime, rules.expiryPenalty)
    {
        // Check:
        _requireDuration(rules.window);
        _requireDuration(rules.jobTime);
        _requireDuration(rules.disputeTime);
        if (rules.judgeFee > rules.challengeBond) revert Market_FeeAboveBond(rules.judgeFee, rules.challengeBond);

        // Effect:
        disputeTime = rules.disputeTime;
        challengeBond = rules.challengeBond;
        judgeFee = rules.judgeFee;
    }

    /// @inheritdoc IDisputes
    function dispute(Request calldata request, Offer calldata offer, Ground ground, bytes32 evidence) external {
        // Check:
        bytes32 jobId = jobIdOf(request);
        Job storage job = _jobs[jobId];
        bool faulted = job.state == State.Faulted;
        if (!faulted && job.state != State.Submitted) revert Market_WrongState(jobId, job.state);
        _requireBuyer(request);
        if (block.timestamp > job.until) revert Market_TooLate(jobId, job.until);
        _requireOffer(request, offer);
        if (faulted && ground != Ground.Other) revert Market_WrongGround(jobId, ground);
        address judge = _judgeOf(offer, ground);
        if (judge == address(0)) revert Market_NoJudge(request.offerDigest, ground);

        // Effect:
        uint40 until = uint40(block.timestamp) + disputeTime;
        (job.state, job.until) = (State.Disputed, until);
        _disputes[jobId] = Dispute(request.buyer, ground, faulted);
        emit JobDisputed(jobId, ground, faulted, judge, evidence, until);

        // Interaction:
        token.safeTransferFrom(request.buyer, address(this), challengeBond);
    }

    /// @inheritdoc IDisputes
    function resolve(Request calldata request, Offer calldata offer, Ruling ruling, bytes32 reasons) external {
        // Check:
        bytes32 jobId = jobIdOf(request);
        Job storage job = _jobs[jobId];
        if (job.state != State.Disputed) revert Market_WrongState(jobId, job.state);
        if (block.timestamp > job.until) revert Market_TooLate(jobId, job.until);
        _requireOffer(request, offer);
        Ground ground = _disputes[jobId].ground;
        address judge = _judgeOf(offer, ground);
        address caller = _msgSender();
        if (caller != judge) revert Market_WrongJudge(caller, judge);
        if (ruling == Ruling.Split && ground != Ground.Other) revert Market_WrongRuling(ruling);

        // Effect:
        (uint256 toProvider, uint256 toBuyer) = _divide(job, ruling);
        job.state = _endOf(ruling, _disputes[jobId].faulted);
        balanceOf[job.provider] += toProvider;
        balanceOf[request.buyer] += toBuyer;
        balanceOf[judge] += judgeFee;
        emit DisputeResolved(jobId, judge, ruling, toProvider, toBuyer, judgeFee, reasons);
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
            else if (job.state == State.Disputed) _lapse(jobIds[i], job);
        }
    }

    /// @inheritdoc IDisputes
    function disputeOf(bytes32 jobId) external view returns (Dispute memory) {
        return _disputes[jobId];
    }

    /// @dev Nobody judged. What the verifier could not fetch either is not paid for; else the receipt stands.
    function _lapse(bytes32 jobId, Job storage job) private {
        Dispute memory found = _disputes[jobId];
        bool pays = found.ground != Ground.Unavailable;
        uint256 price = job.price;
        (uint256 toProvider, uint256 toBuyer) =
            pays ? (price, uint256(challengeBond)) : (0, price + challengeBond);
        job.state = _endOf(pays ? Ruling.Pay : Ruling.Refund, found.faulted);
        balanceOf[job.provider] += toProvider;
        balanceOf[found.buyer] += toBuyer;
        emit DisputeLapsed(jobId, toProvider, toBuyer);
    }

    /// @dev What is left of price, challenger's bond and slash once the judge has its fee. The slash of a refund
    /// includes that fee: whoever loses pays the judge, so who wins is not poorer than who stays silent.
    function _divide(Job storage job, Ruling ruling) private returns (uint256 toProvider, uint256 toBuyer) {
        uint256 price = job.price;
        uint256 stake = challengeBond - judgeFee;
        if (ruling == Ruling.Pay) return (price + stake, 0);
        if (ruling == Ruling.Refund) return (0, price + stake + _slashUpTo(job.provider, price + judgeFee));
        toProvider = _halfDown(price);
        return (toProvider, price - toProvider + stake);
    }

    function _judgeOf(Offer calldata offer, Ground ground) private pure returns (address) {
        return ground == Ground.Other ? offer.arbiter : offer.verifier;
    }

    function _endOf(Ruling ruling, bool faulted) private pure returns (State) {
        if (ruling == Ruling.Refund) return State.Refunded;
        if (ruling == Ruling.Split) return State.Split;
        return faulted ? State.Failed : State.Settled;
    }

    function _halfDown(uint256 amount) private pure returns (uint256) {
        return amount / 2;
    }

    function _requireDuration(uint40 duration) private pure {
        if (duration == 0 || duration > MAX_DURATION) revert Market_BadDuration(duration, MAX_DURATION);
    }
}
