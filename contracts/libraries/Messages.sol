// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "../interfaces/IMarket.sol";

/// @title EIP-712 struct hashes of what owners and nodes sign.
library Messages {
    bytes32 private constant OFFER = keccak256(
        "Offer(uint256 assetId,address provider,address buyer,uint48 price,uint16 maxUses,uint16 termDays,"
        "uint40 validUntil,uint32 epoch,address arbiter,address verifier,uint16 failureFeeBps,uint16 royaltyBps,"
        "uint48 royaltyFloor,uint16 maxContributors,uint16 minCreditBps,bytes32 requiredRole,bytes32 termsDigest,"
        "bytes32 budgetCost,bytes32 salt)"
    );
    bytes32 private constant RECEIPT = keccak256(
        "Receipt(bytes32 jobId,bytes32 inputRoot,bytes32 outputDigest,bytes32 keyDigest,bytes32 environmentDigest,"
        "uint8 isolation,uint40 startedAt,uint40 finishedAt)"
    );

    function hash(IMarket.Offer calldata offer) internal pure returns (bytes32) {
        return keccak256(abi.encode(OFFER, offer));
    }

    function hash(IMarket.Receipt calldata receipt) internal pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT, receipt));
    }
}
