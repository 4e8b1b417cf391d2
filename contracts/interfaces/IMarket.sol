// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEscrow} from "./IEscrow.sol";

/// @title Offers, grants and jobs; IEscrow tells of balances and bonds, IDisputes of disputes.
/// @notice A provider signs an offer off chain. A buyer pays for uses of it (a grant), opens jobs on the grant, and
/// each job's price waits here until the job ends.
/// Amounts are in the smallest unit of `token` (a millionth of a euro); times are Unix seconds unless called days.
/// @dev Warning: an offer is valid while its signer owns the asset and the asset's epoch stands. Who gets an asset
/// back after a transfer revives offers of their own that were not voided: call `raiseEpoch`.
/// @dev Warning: `token` must move exactly what it is asked to move; no fee on transfer, no rebasing. If it refuses to
/// move tokens of this contract, everything stops.
interface IMarket is IEscrow {
    /// @notice Where a job stands. `Settled`, `Rejected`, `Failed`, `Expired`, `Refunded` and `Split` are ends.
    enum State {
        None,
        Open,
        Submitted,
        Settled,
        Rejected,
        Faulted,
        Failed,
        Expired,
        Disputed,
        Refunded,
        Split
    }

    /// @notice Whose fault a failed job is. `Policy` also ends the grant.
    enum Fault {
        Node,
        Algorithm,
        Policy
    }

    /// @notice What the owner of an asset signs (EIP-712). Its digest includes the domain and names the agreement.
    struct Offer {
        uint256 assetId; // in the registry
        address provider; // paid for settled jobs; its registered node runs them; must be the asset's owner
        address buyer; // 0: anyone
        uint48 price; // per use
        uint16 maxUses; // most uses that one buyer may hold paid
        uint16 termDays; // a purchase lasts until the end (UTC) of the day this many days later
        uint40 validUntil; // last second of a purchase
        uint32 epoch; // must be the asset's
        address arbiter; // judges disputes on `Other`; 0: nobody does
        address verifier; // judges disputes on `Unavailable` and `Malformed`; 0: nobody does
        uint16 failureFeeBps; // ten-thousandths of the price kept after a fault of algorithm or policy; at most 2000
        uint16 royaltyBps; // not enforced yet: 0
        uint48 royaltyFloor; // not enforced yet: 0
        uint16 maxContributors; // not enforced yet: 0
        uint16 minCreditBps; // not enforced yet: 0
        bytes32 requiredRole; // accreditation that a buyer needs; 0: none
        bytes32 termsDigest; // SHA-256 of the policy document
        bytes32 budgetCost; // not enforced yet: 0
        bytes32 salt; // makes offers of equal content different
    }

    /// @notice What the provider's node claims of a job and signs (EIP-712).
    struct Receipt {
        bytes32 jobId;
        bytes32 inputRoot; // digest of the sealed data's header
        bytes32 outputDigest; // digest of the sealed output's header
        bytes32 keyDigest; // keccak256 of the wrapped output key
        bytes32 environmentDigest; // SHA-256 of the sorted `name==version` list
        uint8 isolation; // bits: what the sandbox reached
        uint40 startedAt;
        uint40 finishedAt;
    }

    /// @notice What a buyer asks for; `keccak256(abi.encode(request))` is the job's id.
    struct Request {
        bytes32 offerDigest;
        address buyer;
        uint16 index; // of the job within the grant, from 0
        bytes32 algorithm; // SHA-256 of the canonical bundle
        bytes32 spec; // SHA-256 of the sealed specification
    }

    /// @notice An ERC-2612 permit of the buyer to the Market.
    struct Permit {
        uint256 value;
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice Uses that a buyer paid for; provider and price are copied from the offer.
    struct Grant {
        address provider;
        uint48 price;
        uint16 jobsPaid;
        uint16 jobsOpened; // never above jobsPaid
        uint16 lastDay; // days since 1970-01-01, inclusive; 0 after a policy fault
    }

    /// @notice What is fixed at deployment. Times in seconds, 1 to 365 days; sums in units of `token`.
    struct Rules {
        uint40 window; // that a buyer has after a receipt or a fault
        uint40 jobTime; // that a node has from `openJob`
        uint40 disputeTime; // that a judge has
        uint48 minBond; // that a provider needs to sell
        uint48 expiryPenalty; // that an expiry takes from the node's bond, at most the job's price
        uint48 challengeBond; // that a buyer stakes on a dispute
        uint48 judgeFee; // at most challengeBond
    }

    /// @notice A job. Until it ends, `price` is held for it.
    struct Job {
        address provider;
        uint48 price; // after a fault of algorithm or policy: the fee
        State state;
        uint40 until; // Open, Disputed: the deadline; Submitted, Faulted: last second of the window
        bytes32 receipt; // EIP-712 digest of the receipt, or the digest of the fault's report
    }

    event OfferAnnounced(uint256 indexed assetId, bytes32 indexed offerDigest, bytes32 document, address by);
    event ApprovalAnnounced(uint256 indexed assetId, bytes32 indexed subject, bytes32 document, address by);
    event EpochRaised(uint256 indexed assetId, uint32 epoch);
    event AccessBought(
        bytes32 indexed offerDigest,
        address indexed buyer,
        address indexed provider,
        uint256 assetId,
        uint48 price,
        uint16 uses,
        uint16 lastDay
    );
    event JobOpened(
        bytes32 indexed jobId,
        address indexed provider,
        address indexed buyer,
        bytes32 offerDigest,
        uint16 index,
        bytes32 algorithm,
        bytes32 spec,
        uint48 price,
        uint40 until
    );
    event ReceiptSubmitted(
        bytes32 indexed jobId, Receipt receipt, bytes signature, bytes wrappedKey, uint40 until
    );
    event JobSettled(bytes32 indexed jobId, address indexed provider, uint48 amount);
    event JobRejected(bytes32 indexed jobId, bytes32 reason, uint48 refund);
    event JobFaulted(
        bytes32 indexed jobId, Fault fault, uint48 fee, uint48 refund, bytes32 report, uint40 until
    );
    event JobFailed(bytes32 indexed jobId, uint48 fee, uint48 refund, bytes32 report);
    event JobExpired(bytes32 indexed jobId, uint48 refund, uint48 penalty);
    event UnusedClaimed(bytes32 indexed offerDigest, address indexed buyer, uint16 uses, uint256 amount);
    event PausedSet(bool paused);

    error Market_Paused();
    error Market_BadDuration(uint40 got, uint40 max);
    error Market_FeeAboveBond(uint48 judgeFee, uint48 challengeBond);
    error Market_NotAssetOwner(uint256 assetId, address caller);
    error Market_FieldNotEnforced(bytes32 field, uint256 value);
    error Market_FeeTooHigh(uint16 bps, uint16 max);
    error Market_WrongProvider(address got, address owner);
    error Market_JudgeIsParty(address judge);
    error Market_NotAccredited(address buyer, bytes32 role);
    error Market_WrongBuyer(address got, address expected);
    error Market_OfferExpired(uint40 validUntil);
    error Market_WrongEpoch(uint256 assetId, uint32 got, uint32 expected);
    error Market_WrongSigner(address got, address expected);
    error Market_WrongOffer(bytes32 got, bytes32 expected);
    error Market_NoUses();
    error Market_TooManyUses(uint256 wanted, uint16 max);
    error Market_TermTooLong(uint256 lastDay);
    error Market_GrantEnded(bytes32 offerDigest, address buyer, uint16 lastDay);
    error Market_GrantNotEnded(bytes32 offerDigest, address buyer, uint16 lastDay);
    error Market_NoUseLeft(bytes32 offerDigest, address buyer, uint16 jobsPaid);
    error Market_NoReasonToLeave(bytes32 offerDigest, address buyer);
    error Market_NothingUnused(bytes32 offerDigest, address buyer);
    error Market_WrongIndex(uint16 got, uint16 expected);
    error Market_WrongState(bytes32 jobId, State state);
    error Market_TooLate(bytes32 jobId, uint40 until);
    error Market_TooEarly(bytes32 jobId, uint40 until);
    error Market_WrongNode(address got, address expected);
    error Market_WrongKeyDigest(bytes32 got, bytes32 expected);

    /// @notice Says where an offer's document is. Anyone may; readers check the signature in the document.
    /// @param document SHA-256 of a raw block of the shared store.
    function announceOffer(uint256 assetId, bytes32 offerDigest, bytes32 document) external;

    /// @notice Says where a signed approval is. Anyone may; readers check the signature in the document.
    /// @param subject An algorithm's digest (Approval) or a job's id (Release).
    /// @param document SHA-256 of a raw block of the shared store.
    function announceApproval(uint256 assetId, bytes32 subject, bytes32 document) external;

    /// @notice Voids every offer of the asset that was signed for an earlier epoch. Grants already bought stand.
    function raiseEpoch(uint256 assetId) external;

    /// @notice Pays for `uses` more uses of an offer and renews the term of all unused ones.
    /// The caller is the buyer and must have allowed this contract `uses * price` of `token`.
    /// @param signature Of the asset's owner over `digestOf(offer)`: 65 bytes, or what its contract accepts (ERC-1271).
    /// @dev Reverts where a policy fault ended the grant, the asset is paused or retired, or the bond is short.
    function buy(Offer calldata offer, bytes calldata signature, uint16 uses) external;

    /// @notice `buy` with an ERC-2612 permit. The permit may fail (someone may have used it already): the allowance
    /// that stands afterwards decides.
    function buyWithPermit(Offer calldata offer, bytes calldata signature, uint16 uses, Permit calldata permit)
        external;

    /// @notice Opens the grant's next job; the provider's node follows the event. The caller is the buyer.
    /// @param index Must be the number of jobs opened on the grant so far, so that a repeated call opens nothing.
    function openJob(bytes32 offerDigest, uint16 index, bytes32 algorithm, bytes32 spec)
        external
        returns (bytes32 jobId);

    /// @notice Delivers the receipt and the wrapped output key until the deadline; the window starts. Anyone may.
    /// @param signature Of the provider's current node over the receipt: 65 bytes, or ERC-1271.
    /// @param wrappedKey The output's key, sealed to the buyer; must hash to `receipt.keyDigest`.
    function submit(Receipt calldata receipt, bytes calldata signature, bytes calldata wrappedKey) external;

    /// @notice The buyer settles a submitted job at once: the provider is credited.
    function accept(Request calldata request) external;

    /// @notice Ends every job of the list whose window is over: submitted ones are settled, faulted ones have failed;
    /// and disputes that nobody judged in time (see IDisputes). Anyone may. Jobs that are not ready, unknown or repeated are skipped.
    function finalise(bytes32[] calldata jobIds) external;

    /// @notice The provider's node declines an open job until its deadline: the buyer is credited in full.
    /// @param reason SHA-256 of the reason's document, or 0.
    function reject(Request calldata request, bytes32 reason) external;

    /// @notice The provider's node says that an open job failed, until its deadline. `Node`: the buyer is credited in
    /// full. Otherwise the buyer is credited all but the fee, and the fee is the provider's after the window.
    /// @param offer The offer that the request names; its fee applies.
    /// @param report SHA-256 of the signed report.
    /// @dev Warning: the node decides whose fault it is, unless the offer names an arbiter and the buyer disputes it.
    function fail(Request calldata request, Offer calldata offer, Fault fault, bytes32 report) external;

    /// @notice Ends an open job whose deadline has passed: the buyer is credited in full, and with what
    /// `expiryPenalty` takes from the bond of the provider. Anyone may.
    function expire(Request calldata request) external;

    /// @notice Credits the buyer for the unused uses of an ended grant. Anyone may.
    function claimUnused(bytes32 offerDigest, address buyer) external;

    /// @notice Credits the caller for its unused uses before the term's end, where the provider does not keep its
    /// side: the asset is paused or retired, or is no longer the provider's; the bond is short; or nothing can be
    /// opened since the Market is paused.
    function claimUnusedEarly(Offer calldata offer) external;

    /// @notice Stops or resumes `buy`, `buyWithPermit` and `openJob`; nothing else. The authority's pauser may.
    function setPaused(bool paused_) external;

    function grantOf(bytes32 offerDigest, address buyer) external view returns (Grant memory);
    function jobOf(bytes32 jobId) external view returns (Job memory);
    function epochOf(uint256 assetId) external view returns (uint32);

    /// @notice The EIP-712 digest that the owner signs.
    function digestOf(Offer calldata offer) external view returns (bytes32);
    function jobIdOf(Request calldata request) external pure returns (bytes32);

    /// @notice Seconds that a buyer has after a receipt or a fault.
    function window() external view returns (uint40);

    /// @notice Seconds that a node has from `openJob`.
    function jobTime() external view returns (uint40);
    function paused() external view returns (bool);

    /// @notice What an expiry takes from the bond, at most the job's price.
    function expiryPenalty() external view returns (uint48);
}
