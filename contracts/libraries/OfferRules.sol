// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "../interfaces/IMarket.sol";

/// @title What an offer must be, apart from its signature, to be bought now.
library OfferRules {
    uint16 private constant MAX_FAILURE_FEE_BPS = 2_000;

    /// @param buyer Who pays.
    /// @param owner The asset's. It must be the provider: nobody can put another's node, and bond, to work.
    /// @param epoch The asset's.
    function requireValid(IMarket.Offer calldata offer, address buyer, address owner, uint32 epoch) internal view {
        if (offer.provider != owner) revert IMarket.Market_WrongProvider(offer.provider, owner);
        if (offer.buyer != address(0) && offer.buyer != buyer) {
            revert IMarket.Market_WrongBuyer(buyer, offer.buyer);
        }
        if (block.timestamp > offer.validUntil) revert IMarket.Market_OfferExpired(offer.validUntil);
        if (offer.epoch != epoch) revert IMarket.Market_WrongEpoch(offer.assetId, offer.epoch, epoch);
        if (offer.failureFeeBps > MAX_FAILURE_FEE_BPS) {
            revert IMarket.Market_FeeTooHigh(offer.failureFeeBps, MAX_FAILURE_FEE_BPS);
        }
        requireNoParty(offer.arbiter, buyer, owner);
        requireNoParty(offer.verifier, buyer, owner);
        requireEnforced(offer);
    }

    /// @dev Nobody judges its own case.
    function requireNoParty(address judge, address buyer, address owner) private pure {
        if (judge == address(0)) return;
        if (judge == owner || judge == buyer) revert IMarket.Market_JudgeIsParty(judge);
    }

    /// @dev Nobody may pay for a promise that nothing keeps.
    function requireEnforced(IMarket.Offer calldata offer) private pure {
        requireZero("royaltyBps", offer.royaltyBps);
        requireZero("royaltyFloor", offer.royaltyFloor);
        requireZero("maxContributors", offer.maxContributors);
        requireZero("minCreditBps", offer.minCreditBps);
        requireZero("budgetCost", uint256(offer.budgetCost));
    }

    function requireZero(bytes32 field, uint256 value) private pure {
        if (value != 0) revert IMarket.Market_FieldNotEnforced(field, value);
    }
}
