// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "./IMarket.sol";

/// @title What a buyer can do about a receipt or a fault that is wrong.
/// @notice Within the window the buyer stakes `challengeBond` and names a ground. The judge is named by the offer: the
/// verifier for what evidence alone decides (`Unavailable`, `Malformed`), the arbiter for everything else. A judge that
/// rules gets `judgeFee`, the same whatever the ruling.
///
/// | ruling | price | challenger's bond | node's bond |
/// |---|---|---|---|
/// | Pay | provider | fee to the judge, rest to the provider | - |
/// | Refund | buyer | fee to the judge, rest to the buyer | slashed by at most price and fee, to the buyer |
/// | Split | half each, the odd unit to the buyer | fee to the judge, rest to the buyer | - |
/// | none in time, `Unavailable` | buyer | buyer | - |
/// | none in time, other grounds | provider | buyer | - |
///
/// Whoever loses pays the judge: while the node's bond has it, a buyer who wins gets the price twice and all that it
/// staked. Of a fault only the fee is disputed, and is the price here; the rest went back at once. A grant that a
/// policy fault ended stays ended.
/// @dev Warning: a provider can be its own buyer by a second account, before a judge of its own choice. By such a
/// dispute it pays its bond out to itself at once, whatever the unbonding time (see IEscrow).
interface IDisputes {
    /// @notice `Unavailable`: the sealed output cannot be fetched. `Malformed`: it opens to something that is no
    /// release. `Other`: whatever the arbiter hears.
    enum Ground {
        Unavailable,
        Malformed,
        Other
    }

    /// @notice `Pay`: the receipt, or the fee of the fault, stands.
    enum Ruling {
        Pay,
        Refund,
        Split
    }

    /// @notice What a disputed job needs besides `Job`.
    struct Dispute {
        address buyer;
        Ground ground;
        bool faulted; // about a fault's fee, not about a receipt
    }

    event JobDisputed(
        bytes32 indexed jobId, Ground ground, bool faulted, address judge, bytes32 evidence, uint40 until
    );
    event DisputeResolved(
        bytes32 indexed jobId,
        address indexed judge,
        Ruling ruling,
        uint256 toProvider,
        uint256 toBuyer,
        uint256 toJudge,
        bytes32 reasons
    );
    event DisputeLapsed(bytes32 indexed jobId, uint256 toProvider, uint256 toBuyer);

    error Market_NoJudge(bytes32 offerDigest, Ground ground);
    error Market_WrongJudge(address got, address expected);
    error Market_WrongGround(bytes32 jobId, Ground ground);
    error Market_WrongRuling(Ruling ruling);

    /// @notice The buyer disputes a submitted or faulted job until the end of its window, and stakes `challengeBond`.
    /// @param offer The offer that the request names; its arbiter or verifier judges.
    /// @param ground A fault can be disputed on `Other` only.
    /// @param evidence SHA-256 of a raw block of the shared store, or 0.
    function dispute(
        IMarket.Request calldata request,
        IMarket.Offer calldata offer,
        Ground ground,
        bytes32 evidence
    ) external;

    /// @notice The judge rules on a disputed job until its deadline. A verifier cannot split.
    /// @param reasons SHA-256 of a raw block of the shared store, or 0.
    function resolve(
        IMarket.Request calldata request,
        IMarket.Offer calldata offer,
        Ruling ruling,
        bytes32 reasons
    ) external;

    /// @notice All zero for a job that was never disputed.
    function disputeOf(bytes32 jobId) external view returns (Dispute memory);

    /// @notice What a buyer stakes on a dispute.
    function challengeBond() external view returns (uint48);

    /// @notice What a judge gets for a ruling; at most `challengeBond`.
    function judgeFee() external view returns (uint48);

    /// @notice Seconds that a judge has.
    function disputeTime() external view returns (uint40);
}
