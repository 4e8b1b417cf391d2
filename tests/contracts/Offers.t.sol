// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title Which offers `buy` takes and which it refuses.
contract OffersTest is Fixture {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function test_buyRefusesAnOfferSignedByAStranger() external {
        uint256 key = uint256(keccak256("stranger"));
        bytes memory signature = sign(key, market.digestOf(usualOffer()));
        refuses(usualOffer(), signature, wrongSigner(stranger));
    }

    function testFuzz_buyRefusesASignatureOfAnotherOffer(bytes32 salt) external {
        IMarket.Offer memory offer = usualOffer();
        vm.assume(salt != offer.salt);
        bytes memory signature = signed(offer);
        offer.salt = salt;
        fund(buyer, offer.price);
        vm.expectPartialRevert(IMarket.Market_WrongSigner.selector);
        vm.prank(buyer);
        market.buy(offer, signature, 1);
    }

    function test_buyRefusesTheMalleableTwinOfASignature() external {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ownerKey, market.digestOf(usualOffer()));
        bytes memory twin = abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        refuses(usualOffer(), twin, wrongSigner(address(0)));
    }

    function testFuzz_buyRefusesSignaturesThatAreNot65Bytes(bytes calldata signature) external {
        vm.assume(signature.length != 65);
        refuses(usualOffer(), signature, wrongSigner(address(0)));
    }

    function test_buyRefusesAnOfferSignedForAnotherChain() external {
        bytes memory here = signed(usualOffer());
        vm.chainId(1);
        bytes memory there = signed(usualOffer());
        Check.isTrue(keccak256(here) != keccak256(there), "the digest names the chain");
        vm.chainId(31_337);
        fund(buyer, PRICE);
        vm.expectPartialRevert(IMarket.Market_WrongSigner.selector);
        vm.prank(buyer);
        market.buy(usualOffer(), there, 1);
    }

    function test_buyRefusesAnOfferSignedForAnotherMarket() external {
        bytes32 elsewhere = typedDigest(offerHash(usualOffer()), 31_337, address(this));
        fund(buyer, PRICE);
        vm.expectPartialRevert(IMarket.Market_WrongSigner.selector);
        vm.prank(buyer);
        market.buy(usualOffer(), sign(ownerKey, elsewhere), 1);
    }

    function test_digestIsTheOneOfTheWrittenOutType() external view {
        Check.equal(
            market.digestOf(usualOffer()),
            typedDigest(offerHash(usualOffer()), 31_337, address(market)),
            "EIP-712 digest of an offer"
        );
    }

    function test_buyRefusesOldOffersOnceTheEpochIsRaised() external {
        IMarket.Offer memory offer = usualOffer();
        bytes memory signature = signed(offer);
        vm.prank(owner);
        market.raiseEpoch(asset);
        refuses(offer, signature, abi.encodeWithSelector(IMarket.Market_WrongEpoch.selector, asset, 0, 1));
        offer.epoch = 1;
        buy(offer, 1);
    }

    function testFuzz_buyRefusesOffersOfAnotherEpoch(uint32 epoch) external {
        vm.assume(epoch != 0);
        IMarket.Offer memory offer = usualOffer();
        offer.epoch = epoch;
        refuses(offer, signed(offer), abi.encodeWithSelector(IMarket.Market_WrongEpoch.selector, asset, epoch, 0));
    }

    function test_onlyTheOwnerRaisesTheEpoch() external {
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NotAssetOwner.selector, asset, node));
        vm.prank(node);
        market.raiseEpoch(asset);
    }

    function test_aTransferVoidsOffersButNotGrants() external {
        bytes32 offerDigest = buy(usualOffer(), 1);
        vm.prank(owner);
        registry.transferFrom(owner, stranger, asset);

        bytes memory signature = signed(usualOffer());
        fund(buyer, PRICE);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_WrongProvider.selector, owner, stranger));
        vm.prank(buyer);
        market.buy(usualOffer(), signature, 1);

        bytes32 jobId = open(offerDigest, 0);
        Check.equal(market.jobOf(jobId).provider, provider, "the grant keeps its provider");
        Check.equal(market.jobOf(jobId).price, PRICE, "the grant keeps its price");
    }

    function testFuzz_buyRefusesFieldsThatAreNotEnforced(uint8 which, uint256 value) external {
        IMarket.Offer memory offer = usualOffer();
        (bytes32 field, uint256 set) = setField(offer, which % 5, value);
        vm.assume(set != 0);
        bytes memory reason = abi.encodeWithSelector(IMarket.Market_FieldNotEnforced.selector, field, set);
        refuses(offer, signed(offer), reason);
    }

    function testFuzz_buyRefusesAFailureFeeAboveAFifth(uint16 bps) external {
        IMarket.Offer memory offer = usualOffer();
        offer.failureFeeBps = bps;
        if (bps > 2_000) {
            refuses(offer, signed(offer), abi.encodeWithSelector(IMarket.Market_FeeTooHigh.selector, bps, 2_000));
        } else {
            buy(offer, 1);
        }
    }

    function testFuzz_buyRefusesAnOfferThatPutsAnothersNodeToWork(address other) external {
        vm.assume(other != owner);
        IMarket.Offer memory offer = usualOffer();
        offer.provider = other;
        refuses(
            offer, signed(offer), abi.encodeWithSelector(IMarket.Market_WrongProvider.selector, other, owner)
        );
    }

    function test_buyRefusesJudgesOfTheirOwnCase() external {
        address[2] memory parties = [owner, buyer];
        for (uint256 i = 0; i < 2; ++i) {
            IMarket.Offer memory offer = usualOffer();
            offer.arbiter = parties[i];
            refuses(
                offer, signed(offer), abi.encodeWithSelector(IMarket.Market_JudgeIsParty.selector, parties[i])
            );
            offer = usualOffer();
            offer.verifier = parties[i];
            refuses(
                offer, signed(offer), abi.encodeWithSelector(IMarket.Market_JudgeIsParty.selector, parties[i])
            );
        }
    }

    function test_buyRefusesAnAssetThatDoesNotExist() external {
        IMarket.Offer memory offer = usualOffer();
        offer.assetId = 1;
        refuses(offer, signed(offer), abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 1));
    }

    function test_buyKeepsAnOfferForItsBuyer() external {
        IMarket.Offer memory offer = usualOffer();
        offer.buyer = stranger;
        refuses(offer, signed(offer), abi.encodeWithSelector(IMarket.Market_WrongBuyer.selector, buyer, stranger));
        offer.buyer = buyer;
        buy(offer, 1);
    }

    function test_buyTakesAnOfferInItsLastSecondAndNotLater() external {
        IMarket.Offer memory offer = usualOffer();
        vm.warp(offer.validUntil);
        buy(offer, 1);
        vm.warp(uint256(offer.validUntil) + 1);
        refuses(
            offer, signed(offer), abi.encodeWithSelector(IMarket.Market_OfferExpired.selector, offer.validUntil)
        );
    }

    function test_anyoneAnnouncesAndChangesNothing() external {
        vm.expectEmit();
        emit IMarket.OfferAnnounced(asset, keccak256("offer"), keccak256("document"), stranger);
        vm.prank(stranger);
        market.announceOffer(asset, keccak256("offer"), keccak256("document"));
        vm.expectEmit();
        emit IMarket.ApprovalAnnounced(asset, keccak256("algorithm"), keccak256("document"), stranger);
        vm.prank(stranger);
        market.announceApproval(asset, keccak256("algorithm"), keccak256("document"));
        Check.equal(market.epochOf(asset), 0, "epoch");
    }

    function wrongSigner(address got) private view returns (bytes memory) {
        return abi.encodeWithSelector(IMarket.Market_WrongSigner.selector, got, owner);
    }

    function setField(IMarket.Offer memory offer, uint8 which, uint256 value) private pure returns (bytes32, uint256) {
        if (which == 0) return ("royaltyBps", offer.royaltyBps = uint16(value));
        if (which == 1) return ("royaltyFloor", offer.royaltyFloor = uint48(value));
        if (which == 2) return ("maxContributors", offer.maxContributors = uint16(value));
        if (which == 3) return ("minCreditBps", offer.minCreditBps = uint16(value));
        return ("budgetCost", uint256(offer.budgetCost = bytes32(value)));
    }

    function offerHash(IMarket.Offer memory offer) private pure returns (bytes32) {
        bytes32 kind = keccak256(
            "Offer(uint256 assetId,address provider,address buyer,uint48 price,uint16 maxUses,uint16 termDays,uint40 validUntil,uint32 epoch,address arbiter,address verifier,uint16 failureFeeBps,uint16 royaltyBps,uint48 royaltyFloor,uint16 maxContributors,uint16 minCreditBps,bytes32 requiredRole,bytes32 termsDigest,bytes32 budgetCost,bytes32 salt)"
        );
        return keccak256(abi.encode(kind, offer));
    }
}
