// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {IAssetRegistry} from "../../contracts/interfaces/IAssetRegistry.sol";
import {IEscrow} from "../../contracts/interfaces/IEscrow.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title What providers pledge, how it leaves, what takes it, and what buyers may do where it is short.
contract BondsTest is Fixture {
    uint40 private constant UNBONDING = 2 * (WINDOW + JOB_TIME + DISPUTE_TIME);

    function test_aBondIsPaidInAndCounts() external {
        bond(provider, 5);
        Check.equal(market.bondOf(provider).staked, MIN_BOND + 5, "staked");
        Check.equal(euro.balanceOf(address(market)), MIN_BOND + 5, "held");
        Check.equal(market.unbondingTime(), UNBONDING, "unbonding time");
    }

    function test_unbondingOutlastsEveryJobItsWindowAndItsDispute() external view {
        Check.isTrue(market.unbondingTime() > market.jobTime() + market.window() + market.disputeTime(), "longer");
    }

    function test_nothingIsSoldWhereTheBondIsShortByOneUnit() external {
        startUnbonding(1);
        bytes memory reason =
            abi.encodeWithSelector(IEscrow.Market_BondTooSmall.selector, provider, MIN_BOND - 1, MIN_BOND);
        refuses(usualOffer(), signed(usualOffer()), reason);
        bond(provider, 1);
        buy(usualOffer(), 1);
    }

    function testFuzz_noMoreLeavesThanIsStaked(uint48 amount) external {
        vm.assume(amount == 0 || amount > MIN_BOND);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Market_BondTooSmall.selector, provider, MIN_BOND, amount)
        );
        startUnbonding(amount);
    }

    function test_aBondLeavesAfterItsTimeAndNotInItsLastSecond() external {
        startUnbonding(60);
        vm.warp(START + UNBONDING);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Market_BondLeavesLater.selector, provider, START + UNBONDING)
        );
        market.releaseBond(provider);
        vm.warp(START + UNBONDING + 1);
        vm.prank(stranger);
        market.releaseBond(provider);
        Check.equal(market.balanceOf(provider), 60, "credited to the provider, whoever calls");
        Check.equal(market.bondOf(provider).staked, MIN_BOND - 60, "the rest stays");
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Market_NothingLeaves.selector, provider));
        market.releaseBond(provider);
    }

    function test_aSecondAnnouncementStartsTheTimeAnewForAll() external {
        startUnbonding(60);
        vm.warp(START + UNBONDING);
        startUnbonding(1);
        vm.warp(START + UNBONDING + 1);
        vm.expectPartialRevert(IEscrow.Market_BondLeavesLater.selector);
        market.releaseBond(provider);
        vm.warp(START + 2 * UNBONDING + 1);
        market.releaseBond(provider);
        Check.equal(market.balanceOf(provider), 61, "both");
    }

    function test_anExpiryTakesThePenaltyAndGivesItToTheBuyer() external {
        (, IMarket.Request memory request) = openFirst(1);
        vm.warp(START + JOB_TIME + 1);
        market.expire(request);
        Check.equal(market.balanceOf(buyer), PRICE + PENALTY, "price and penalty");
        Check.equal(market.bondOf(provider).staked, MIN_BOND - PENALTY, "staked");
    }

    function testFuzz_anExpiryTakesAtMostThePriceSoThatFreeJobsEatNoBond(uint48 price) external {
        IMarket.Offer memory offer = usualOffer();
        offer.price = price % (2 * PENALTY);
        bytes32 offerDigest = buy(offer, 1);
        open(offerDigest, 0);
        vm.warp(START + JOB_TIME + 1);
        market.expire(requestOf(offerDigest, 0));
        uint48 taken = MIN_BOND - market.bondOf(provider).staked;
        Check.equal(taken, offer.price < PENALTY ? offer.price : PENALTY, "penalty");
        Check.equal(market.balanceOf(buyer), uint256(offer.price) + taken, "buyer");
    }

    function test_aPenaltyReachesWhatIsLeavingToo() external {
        (, IMarket.Request memory request) = openFirst(1);
        startUnbonding(MIN_BOND);
        vm.warp(START + JOB_TIME + 1);
        vm.expectEmit();
        emit IEscrow.BondSlashed(provider, 0, PENALTY);
        market.expire(request);
        Check.equal(market.bondOf(provider).leaving, MIN_BOND - PENALTY, "leaving");
        Check.equal(market.balanceOf(buyer), PRICE + PENALTY, "buyer");
    }

    function test_aPenaltyTakesWhatIsStakedBeforeWhatLeaves() external {
        (, IMarket.Request memory request) = openFirst(1);
        startUnbonding(MIN_BOND - 1);
        vm.warp(START + JOB_TIME + 1);
        vm.expectEmit();
        emit IEscrow.BondSlashed(provider, 1, PENALTY - 1);
        market.expire(request);
    }

    function test_aBondThatIsGonePaysNothingAndStopsNothing() external {
        (, IMarket.Request memory request) = openFirst(1);
        vm.warp(START + JOB_TIME + 1);
        // The bond outlasts every job, so only another job's slash can have taken it: written, not played.
        bytes32 slot = keccak256(abi.encode(provider, uint256(4)));
        vm.store(address(market), slot, 0);
        Check.equal(market.bondOf(provider).staked, 0, "the slot of the bond");
        market.expire(request);
        Check.equal(market.balanceOf(buyer), PRICE, "the price alone");
    }

    function test_unusedUsesComeBackAtOnceWhereTheBondIsShort() external {
        IMarket.Offer memory offer = usualOffer();
        bytes32 offerDigest = buy(offer, 3);
        open(offerDigest, 0);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NoReasonToLeave.selector, offerDigest, buyer));
        takeBack(offer);
        startUnbonding(1);
        takeBack(offer);
        Check.equal(market.balanceOf(buyer), 2 * uint256(PRICE), "the unused ones");
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NothingUnused.selector, offerDigest, buyer));
        takeBack(offer);
    }

    function test_unusedUsesComeBackAtOnceWhereTheAssetIsPausedOrRetired() external {
        IMarket.Offer memory offer = usualOffer();
        buy(offer, 2);
        vm.prank(owner);
        registry.pauseAsset(asset);
        bytes memory closed = abi.encodeWithSelector(
            IAssetRegistry.AssetRegistry_NotActive.selector, asset, IAssetRegistry.Status.Paused
        );
        refuses(offer, signed(offer), closed);
        takeBack(offer);
        Check.equal(market.balanceOf(buyer), 2 * uint256(PRICE), "paused");

        vm.prank(owner);
        registry.resumeAsset(asset);
        buy(offer, 1);
        vm.prank(owner);
        registry.retire(asset);
        takeBack(offer);
        Check.equal(market.balanceOf(buyer), 3 * uint256(PRICE), "retired");
    }

    function test_unusedUsesComeBackAtOnceWhereTheAssetChangedHands() external {
        IMarket.Offer memory offer = usualOffer();
        bytes32 offerDigest = buy(offer, 2);
        vm.prank(owner);
        registry.transferFrom(owner, stranger, asset);
        bond(stranger, MIN_BOND);
        takeBack(offer);
        Check.equal(market.balanceOf(buyer), 2 * uint256(PRICE), "the provider is no longer the owner");

        vm.prank(stranger);
        registry.transferFrom(stranger, owner, asset);
        buy(offer, 1);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NoReasonToLeave.selector, offerDigest, buyer));
        takeBack(offer);
    }

    function test_unusedUsesComeBackAtOnceWhereTheMarketIsPaused() external {
        IMarket.Offer memory offer = usualOffer();
        buy(offer, 1);
        vm.prank(pauser);
        market.setPaused(true);
        takeBack(offer);
        Check.equal(market.balanceOf(buyer), PRICE, "paused");
    }

    function test_onlyTheBuyerLeavesEarly() external {
        IMarket.Offer memory offer = usualOffer();
        bytes32 offerDigest = buy(offer, 1);
        startUnbonding(1);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NothingUnused.selector, offerDigest, stranger));
        vm.prank(stranger);
        market.claimUnusedEarly(offer);
    }

    function test_aBondIsTakenInTheMarketsTokenAlone() external {
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        vm.prank(stranger);
        market.depositBond(1);
        Check.equal(euro.balanceOf(address(market)), MIN_BOND, "held");
    }

    function startUnbonding(uint48 amount) private {
        vm.prank(provider);
        market.startUnbonding(amount);
    }

    function takeBack(IMarket.Offer memory offer) private {
        vm.prank(buyer);
        market.claimUnusedEarly(offer);
    }
}
