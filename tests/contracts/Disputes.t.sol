// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {IContributionCredits} from "../../contracts/interfaces/IContributionCredits.sol";
import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title Disputes beyond what the state table walks: grounds, judges, silence, slashes, sums that do not fit.
contract DisputesTest is Fixture {
    function test_disputingStakesTheBondAndNamesTheJudge() external {
        (bytes32 jobId, IMarket.Request memory request) = submitted();
        fund(buyer, CHALLENGE_BOND);
        vm.expectEmit();
        emit IDisputes.JobDisputed(
            jobId, IDisputes.Ground.Malformed, false, verifier, keccak256("e"), uint40(START + DISPUTE_TIME)
        );
        vm.prank(buyer);
        market.dispute(request, usualOffer(), IDisputes.Ground.Malformed, keccak256("e"));
        Check.equal(held(), PRICE + CHALLENGE_BOND, "held");
        Check.equal(market.jobOf(jobId).until, START + DISPUTE_TIME, "until");
        IDisputes.Dispute memory found = market.disputeOf(jobId);
        Check.equal(found.buyer, buyer, "buyer");
        Check.equal(uint8(found.ground), uint8(IDisputes.Ground.Malformed), "ground");
    }

    function test_aDisputeWithoutStakeIsNone() external {
        (, IMarket.Request memory request) = submitted();
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        vm.prank(buyer);
        market.dispute(request, usualOffer(), IDisputes.Ground.Other, 0);
    }

    function test_whereTheOfferNamesNobodyNobodyJudges() external {
        IMarket.Offer memory offer = usualOffer();
        (offer.arbiter, offer.verifier) = (address(0), address(0));
        bytes32 offerDigest = buy(offer, 1);
        submit(open(offerDigest, 0));
        for (uint8 ground = 0; ground < 3; ++ground) {
            vm.expectRevert(
                abi.encodeWithSelector(IDisputes.Market_NoJudge.selector, offerDigest, IDisputes.Ground(ground))
            );
            vm.prank(buyer);
            market.dispute(requestOf(offerDigest, 0), offer, IDisputes.Ground(ground), 0);
        }
    }

    function test_aFaultIsDisputedBeforeTheArbiterAlone() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(1);
        fail(request, IMarket.Fault.Algorithm);
        for (uint8 ground = 0; ground < 2; ++ground) {
            vm.expectRevert(
                abi.encodeWithSelector(IDisputes.Market_WrongGround.selector, jobId, IDisputes.Ground(ground))
            );
            vm.prank(buyer);
            market.dispute(request, usualOffer(), IDisputes.Ground(ground), 0);
        }
        dispute(request, IDisputes.Ground.Other);
    }

    function test_aDisputeTakesNoOtherOffersJudge() external {
        (, IMarket.Request memory request) = submitted();
        IMarket.Offer memory other = usualOffer();
        other.arbiter = stranger;
        vm.expectPartialRevert(IMarket.Market_WrongOffer.selector);
        vm.prank(buyer);
        market.dispute(request, other, IDisputes.Ground.Other, 0);

        dispute(request, IDisputes.Ground.Other);
        vm.expectPartialRevert(IMarket.Market_WrongOffer.selector);
        vm.prank(stranger);
        market.resolve(request, other, IDisputes.Ruling.Refund, 0);
    }

    function test_theArbiterDoesNotJudgeWhatIsTheVerifiersNorTheOtherWayRound() external {
        (, IMarket.Request memory request) = disputed(IDisputes.Ground.Unavailable);
        refusesJudge(request, arbiter, verifier);
        (, request) = another(request, IDisputes.Ground.Other);
        refusesJudge(request, verifier, arbiter);
    }

    function test_aVerifierCannotSplit() external {
        (, IMarket.Request memory request) = disputed(IDisputes.Ground.Malformed);
        vm.expectRevert(
            abi.encodeWithSelector(IDisputes.Market_WrongRuling.selector, IDisputes.Ruling.Split)
        );
        vm.prank(verifier);
        market.resolve(request, usualOffer(), IDisputes.Ruling.Split, 0);
    }

    function test_silenceOnAnUnavailableOutputGivesThePriceBack() external {
        (bytes32 jobId,) = disputed(IDisputes.Ground.Unavailable);
        vm.warp(START + DISPUTE_TIME + 1);
        finaliseOne(jobId);
        Check.equal(market.balanceOf(buyer), PRICE + CHALLENGE_BOND, "price and stake");
        Check.equal(market.balanceOf(provider), 0, "provider");
        Check.equal(uint8(market.jobOf(jobId).state), uint8(IMarket.State.Refunded), "state");
        Check.equal(market.bondOf(provider).staked, MIN_BOND, "nobody judged, so nothing is slashed");
    }

    function test_silenceOnAnotherGroundLeavesTheReceiptStanding() external {
        (bytes32 jobId,) = disputed(IDisputes.Ground.Malformed);
        vm.warp(START + DISPUTE_TIME + 1);
        finaliseOne(jobId);
        Check.equal(market.balanceOf(buyer), CHALLENGE_BOND, "the stake comes back");
        Check.equal(market.balanceOf(provider), PRICE, "the price is paid");
        Check.equal(uint8(market.jobOf(jobId).state), uint8(IMarket.State.Settled), "state");
    }

    function test_aDisputeIsNotFinalisedInItsLastSecond() external {
        (bytes32 jobId, IMarket.Request memory request) = disputed(IDisputes.Ground.Other);
        vm.warp(START + DISPUTE_TIME);
        finaliseOne(jobId);
        Check.equal(uint8(market.jobOf(jobId).state), uint8(IMarket.State.Disputed), "state");
        vm.prank(arbiter);
        market.resolve(request, usualOffer(), IDisputes.Ruling.Pay, 0);
        vm.warp(START + DISPUTE_TIME + 1);
        finaliseOne(jobId);
        Check.equal(market.balanceOf(provider), PRICE + CHALLENGE_BOND - JUDGE_FEE, "paid once");
    }

    function test_whoeverWinsADisputeIsNeverPoorerThanWhoeverStaysSilent() external {
        IMarket.Offer memory offer = usualOffer();
        offer.price = 12_500_000;
        uint48 fee = 1_250_000; // less than the judge's
        bytes32 offerDigest = buy(offer, 2);
        bytes32 silent = openFaulted(offer, offerDigest, 0);
        openFaulted(offer, offerDigest, 1);
        uint256 returned = market.balanceOf(buyer);
        Check.equal(returned, 2 * uint256(offer.price - fee), "what came back at once");

        rule(offer, requestOf(offerDigest, 1), IDisputes.Ruling.Refund);
        Check.equal(market.balanceOf(buyer) - returned, CHALLENGE_BOND + 2 * uint256(fee), "whole stake, fee twice");
        Check.equal(market.balanceOf(arbiter), JUDGE_FEE, "judge");
        Check.equal(market.bondOf(provider).staked, MIN_BOND - fee - JUDGE_FEE, "the loser pays the judge");

        vm.warp(START + WINDOW + 1);
        uint256 before = market.balanceOf(buyer);
        finaliseOne(silent);
        Check.equal(market.balanceOf(buyer), before, "silence gets nothing more");
    }

    function testFuzz_aRefundSlashesAtMostPriceAndFeeAndAtMostTheBond(uint48 price, uint48 staked) external {
        price = price % (3 * MIN_BOND);
        staked = staked % (2 * MIN_BOND);
        bond(provider, staked);
        IMarket.Offer memory offer = usualOffer();
        offer.price = price;
        bytes32 offerDigest = buy(offer, 1);
        submit(open(offerDigest, 0));
        rule(offer, requestOf(offerDigest, 0), IDisputes.Ruling.Refund);
        uint256 most = price + JUDGE_FEE;
        uint256 slashed = most < MIN_BOND + staked ? most : MIN_BOND + staked;
        Check.equal(market.balanceOf(buyer), price + CHALLENGE_BOND - JUDGE_FEE + slashed, "buyer");
        Check.equal(market.bondOf(provider).staked, MIN_BOND + staked - slashed, "bond");
        Check.equal(market.balanceOf(arbiter), JUDGE_FEE, "judge");
    }

    function testFuzz_aRefundNeverRevertsWhateverThePrice(uint48 price, uint48 staked, uint48 leaving) external {
        refundsWith(price, staked % (type(uint48).max - MIN_BOND), leaving % (type(uint48).max - MIN_BOND));
    }

    function test_aRefundOfTheLargestPriceTakesMoreThanOneBondHolds() external {
        refundsWith(type(uint48).max, type(uint48).max - MIN_BOND, type(uint48).max - MIN_BOND);
    }

    function testFuzz_theLargestPricesAreDividedWithoutLoss(uint8 drawn, uint48 odd) external {
        IMarket.Offer memory offer = usualOffer();
        offer.price = type(uint48).max - (odd % 3);
        bytes32 offerDigest = buy(offer, 2);
        bytes32 judged = open(offerDigest, 0);
        bytes32 silent = open(offerDigest, 1);
        submit(judged);
        submit(silent);
        rule(offer, requestOf(offerDigest, 0), IDisputes.Ruling(drawn % 3));
        fund(buyer, CHALLENGE_BOND);
        vm.prank(buyer);
        market.dispute(requestOf(offerDigest, 1), offer, IDisputes.Ground(drawn % 3), 0);
        vm.warp(START + DISPUTE_TIME + 1);
        finaliseOne(silent);
        uint256 slashed = MIN_BOND - market.bondOf(provider).staked;
        uint256 credited = market.balanceOf(buyer) + market.balanceOf(provider) + market.balanceOf(arbiter);
        Check.equal(credited, 2 * uint256(offer.price) + 2 * CHALLENGE_BOND + slashed, "everything has an owner");
    }

    function test_aDisputedJobRegistersNoModelUntilItIsPaid() external {
        (, IMarket.Request memory request) = disputed(IDisputes.Ground.Other);
        vm.expectPartialRevert(IContributionCredits.ContributionCredits_NotSettled.selector);
        vm.prank(buyer);
        credits.registerModel(request, "model");
        vm.prank(arbiter);
        market.resolve(request, usualOffer(), IDisputes.Ruling.Pay, 0);
        vm.prank(buyer);
        credits.registerModel(request, "model");
    }

    function test_disputesAreOpenedJudgedAndEndedWhilePaused() external {
        (bytes32 jobId, IMarket.Request memory request) = submitted();
        vm.prank(pauser);
        market.setPaused(true);
        dispute(request, IDisputes.Ground.Other);
        vm.warp(START + DISPUTE_TIME + 1);
        finaliseOne(jobId);
        Check.equal(uint8(market.jobOf(jobId).state), uint8(IMarket.State.Settled), "state");
    }

    function submitted() private returns (bytes32 jobId, IMarket.Request memory request) {
        (jobId, request) = openFirst(1);
        submit(jobId);
    }

    function disputed(IDisputes.Ground ground) private returns (bytes32 jobId, IMarket.Request memory request) {
        (jobId, request) = submitted();
        dispute(request, ground);
    }

    /// @dev The next job of the same grant, disputed.
    function another(IMarket.Request memory before, IDisputes.Ground ground)
        private
        returns (bytes32 jobId, IMarket.Request memory request)
    {
        buy(usualOffer(), 1);
        jobId = open(before.offerDigest, 1);
        request = requestOf(before.offerDigest, 1);
        submit(jobId);
        dispute(request, ground);
    }

    function rule(IMarket.Offer memory offer, IMarket.Request memory request, IDisputes.Ruling ruling) private {
        fund(buyer, CHALLENGE_BOND);
        vm.prank(buyer);
        market.dispute(request, offer, IDisputes.Ground.Other, 0);
        vm.prank(arbiter);
        market.resolve(request, offer, ruling, 0);
    }

    /// @dev A refund of that price from a bond of `MIN_BOND + staked`, and `MIN_BOND + leaving` that leaves.
    function refundsWith(uint48 price, uint48 staked, uint48 leaving) private {
        bond(provider, leaving);
        vm.prank(provider);
        market.startUnbonding(MIN_BOND + leaving);
        bond(provider, MIN_BOND + staked);
        IMarket.Offer memory offer = usualOffer();
        offer.price = price;
        bytes32 offerDigest = buy(offer, 1);
        submit(open(offerDigest, 0));
        rule(offer, requestOf(offerDigest, 0), IDisputes.Ruling.Refund);
        uint256 bonds = 2 * uint256(MIN_BOND) + staked + leaving;
        uint256 most = uint256(price) + JUDGE_FEE;
        uint256 slashed = most < bonds ? most : bonds;
        Check.equal(market.balanceOf(buyer), uint256(price) + CHALLENGE_BOND - JUDGE_FEE + slashed, "buyer");
        uint256 left = uint256(market.bondOf(provider).staked) + market.bondOf(provider).leaving;
        Check.equal(left, bonds - slashed, "bond");
    }

    function openFaulted(IMarket.Offer memory offer, bytes32 offerDigest, uint16 index)
        private
        returns (bytes32 jobId)
    {
        jobId = open(offerDigest, index);
        vm.prank(node);
        market.fail(requestOf(offerDigest, index), offer, IMarket.Fault.Algorithm, keccak256("report"));
    }

    function refusesJudge(IMarket.Request memory request, address got, address expected) private {
        vm.expectRevert(abi.encodeWithSelector(IDisputes.Market_WrongJudge.selector, got, expected));
        vm.prank(got);
        market.resolve(request, usualOffer(), IDisputes.Ruling.Pay, 0);
    }
}
