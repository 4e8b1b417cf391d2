// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "../interfaces/IMarket.sol";

/// @title What an offer must be, apart from its signature, to be bought by the caller now.
library OfferRules {
    uint16 private constant MAX_FAILURE_FEE_BPS = 2_000;

    /// @param epoch The asset's.
    function requireValid(IMarket.Offer calldata offer, uint32 epoch) internal view {
        if (offer.provider == address(0)) revert IMarket.Market_NoProvider();
        if (offer.buyer != address(0) && offer.buyer != msg.sender) {
            revert IMarket.Market_WrongBuyer(msg.sender, offer.buyer);
        }
        if (block.timestamp > offer.validUntil) revert IMarket.Market_OfferExpired(offer.validUntil);
        if (offer.epoch != epoch) revert IMarket.Market_WrongEpoch(offer.assetId, offer.epoch, epoch);
        if (offer.failureFeeBps > MAX_FAILURE_FEE_BPS) {
            revert IMarket.Market_FeeTooHigh(offer.failureFeeBps, MAX_FAILURE_FEE_BPS);
        }
        requireEnforced(offer);
    }

    /// @dev Nobody may pay for a promise that nothing keeps.
    function requireEnforced(IMarket.Offer calldata offer) private pure {
        requireZero("arbiter", uint160(offer.arbiter));
        requireZero("verifier", uint160(offer.verifier));
        requireZero("royaltyBps", offer.royaltyBps);
        requireZero("royaltyFloor", offer.royaltyFloor);
        requireZero("maxContributors", offer.maxContributors);
        requireZero("minCreditBps", offer.minCreditBps);
        requireZero("requiredRole", uint256(offer.requiredRole));
        requireZero("budgetCost", uint256(offer.budgetCost));
    }

    function requireZero(bytes32 field, uint256 value) private pure {
        if (value != 0) revert IMarket.Market_FieldNotEnforced(field, value);
    }
}
