// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title Uses paid, opened, lapsed and claimed back.
contract GrantsTest is Fixture {
    function test_buyCopiesTheOfferIntoTheGrantAndTakesThePrice() external {
        bytes32 offerDigest = buy(usualOffer(), 5);
        IMarket.Grant memory grant = market.grantOf(offerDigest, buyer);
        Check.equal(grant.provider, provider, "provider");
        Check.equal(grant.price, PRICE, "price");
        Check.equal(grant.jobsPaid, 5, "jobsPaid");
        Check.equal(grant.jobsOpened, 0, "jobsOpened");
        Check.equal(grant.lastDay, START / 1 days + 30, "lastDay");
        Check.equal(held(), 5 * uint256(PRICE), "held");
        Check.equal(euro.balanceOf(buyer), 0, "left with the buyer");
    }

    function test_buyRefusesNoUses() external {
        bytes memory signature = signed(usualOffer());
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NoUses.selector));
        vm.prank(buyer);
        market.buy(usualOffer(), signature, 0);
    }

    function testFuzz_buyNeverExceedsTheUsesOfTheOffer(uint16 first, uint16 more, uint16 max) external {
        vm.assume(first != 0 && more != 0 && first <= max);
        IMarket.Offer memory offer = usualOffer();
        offer.maxUses = max;
        buy(offer, first);
        uint256 wanted = uint256(first) + more;
        if (wanted > max) {
            fund(buyer, uint256(more) * PRICE);
            bytes memory signature = signed(offer);
            vm.expectRevert(abi.encodeWithSelector(IMarket.Market_TooManyUses.selector, wanted, max));
            vm.prank(buyer);
            market.buy(offer, signature, more);
        } else {
            bytes32 offerDigest = buy(offer, more);
            Check.equal(market.grantOf(offerDigest, buyer).jobsPaid, wanted, "jobsPaid");
        }
    }

    function test_theLargestPurchaseFitsAndComesBackWhole() external {
        IMarket.Offer memory offer = usualOffer();
        (offer.price, offer.maxUses, offer.termDays) = (type(uint48).max, type(uint16).max, 0);
        bytes32 offerDigest = buy(offer, type(uint16).max);
        uint256 amount = uint256(type(uint48).max) * type(uint16).max;
        Check.equal(held(), amount, "held");
        vm.warp(START + 1 days);
        market.claimUnused(offerDigest, buyer);
        Check.equal(market.balanceOf(buyer), amount, "owed");
    }

    function testFuzz_buyBoundsTheLastDay(uint16 termDays) external {
        IMarket.Offer memory offer = usualOffer();
        offer.termDays = termDays;
        uint256 day = START / 1 days + termDays;
        if (day > type(uint16).max) {
            refuses(offer, signed(offer), abi.encodeWithSelector(IMarket.Market_TermTooLong.selector, day));
        } else {
            Check.equal(market.grantOf(buy(offer, 1), buyer).lastDay, day, "lastDay");
        }
    }

    function test_theLastDayThatFitsIsTakenAndTheNextIsNot() external {
        IMarket.Offer memory offer = usualOffer();
        offer.termDays = uint16(type(uint16).max - START / 1 days);
        Check.equal(market.grantOf(buy(offer, 1), buyer).lastDay, type(uint16).max, "lastDay");
        offer.termDays += 1;
        refuses(offer, signed(offer), abi.encodeWithSelector(IMarket.Market_TermTooLong.selector, 65_536));
    }

    function test_aJobOpensInTheLastSecondOfTheTermAndNotLater() external {
        bytes32 offerDigest = buy(usualOffer(), 2);
        uint16 lastDay = market.grantOf(offerDigest, buyer).lastDay;
        vm.warp((uint256(lastDay) + 1) * 1 days - 1);
        open(offerDigest, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IMarket.Market_GrantNotEnded.selector, offerDigest, buyer, lastDay)
        );
        market.claimUnused(offerDigest, buyer);

        vm.warp((uint256(lastDay) + 1) * 1 days);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_GrantEnded.selector, offerDigest, buyer, lastDay));
        open(offerDigest, 1);
        market.claimUnused(offerDigest, buyer);
        Check.equal(market.balanceOf(buyer), PRICE, "the unopened use came back");
    }

    function test_aTopUpRenewsUsesThatHadLapsed() external {
        IMarket.Offer memory offer = usualOffer();
        (offer.termDays, offer.validUntil) = (0, type(uint40).max);
        bytes32 offerDigest = buy(offer, 1);
        vm.warp(START + 3 days);
        vm.expectPartialRevert(IMarket.Market_GrantEnded.selector);
        open(offerDigest, 0);

        buy(offer, 1);

        open(offerDigest, 0);
        open(offerDigest, 1);
        Check.equal(market.grantOf(offerDigest, buyer).jobsOpened, 2, "both uses opened");
    }

    function test_usesMayBeBoughtAgainAfterTheyWereClaimedBack() external {
        IMarket.Offer memory offer = usualOffer();
        (offer.termDays, offer.validUntil, offer.maxUses) = (0, type(uint40).max, 3);
        bytes32 offerDigest = buy(offer, 3);
        open(offerDigest, 0);
        vm.warp(START + 1 days);
        market.claimUnused(offerDigest, buyer);
        Check.equal(market.grantOf(offerDigest, buyer).jobsPaid, 1, "jobsPaid");
        buy(offer, 2);
        open(offerDigest, 1);
    }

    function test_unusedUsesAreClaimedOnlyOnce() external {
        bytes32 offerDigest = buy(usualOffer(), 3);
        vm.warp(START + 40 days);
        vm.prank(stranger);
        market.claimUnused(offerDigest, buyer);
        Check.equal(market.balanceOf(buyer), 3 * uint256(PRICE), "owed to the buyer, whoever claims");
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NothingUnused.selector, offerDigest, buyer));
        market.claimUnused(offerDigest, buyer);
    }

    function test_nothingIsClaimedOfAGrantThatDoesNotExist() external {
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NothingUnused.selector, bytes32(0), stranger));
        market.claimUnused(0, stranger);
    }

    function test_aPolicyFaultEndsTheGrantForGood() external {
        (, IMarket.Request memory request) = openFirst(3);
        bytes32 offerDigest = request.offerDigest;
        fail(request, IMarket.Fault.Policy);

        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_GrantEnded.selector, offerDigest, buyer, 0));
        open(offerDigest, 1);
        refuses(
            usualOffer(),
            signed(usualOffer()),
            abi.encodeWithSelector(IMarket.Market_GrantEnded.selector, offerDigest, buyer, 0)
        );
        uint256 before = market.balanceOf(buyer);
        market.claimUnused(offerDigest, buyer);
        Check.equal(market.balanceOf(buyer) - before, 2 * uint256(PRICE), "unused uses come back at once");
        refuses(
            usualOffer(),
            signed(usualOffer()),
            abi.encodeWithSelector(IMarket.Market_GrantEnded.selector, offerDigest, buyer, 0)
        );
    }

    function test_aPolicyFaultLeavesOtherJobsAndOtherGrantsAlone() external {
        (bytes32 first, IMarket.Request memory request) = openFirst(2);
        bytes32 second = open(request.offerDigest, 1);
        fail(request, IMarket.Fault.Policy);
        submit(second);
        vm.warp(block.timestamp + WINDOW + 1);
        finaliseOne(first);
        finaliseOne(second);
        Check.equal(market.balanceOf(provider), PRICE + PRICE / 10, "a price and a fee");

        IMarket.Offer memory other = usualOffer();
        other.salt = keccak256("another offer");
        open(buy(other, 1), 0);
    }

    function test_openJobTakesOnlyTheNextIndex() external {
        bytes32 offerDigest = buy(usualOffer(), 2);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_WrongIndex.selector, 1, 0));
        open(offerDigest, 1);
        open(offerDigest, 0);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_WrongIndex.selector, 0, 1));
        open(offerDigest, 0);
        open(offerDigest, 1);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NoUseLeft.selector, offerDigest, buyer, 2));
        open(offerDigest, 2);
    }

    function test_theLastOf65535UsesOpensAndNoFurther() external {
        IMarket.Offer memory offer = usualOffer();
        (offer.price, offer.maxUses) = (1, type(uint16).max);
        bytes32 offerDigest = buy(offer, type(uint16).max);
        setJobsOpened(offerDigest, type(uint16).max - 1);
        open(offerDigest, type(uint16).max - 1);
        Check.equal(market.grantOf(offerDigest, buyer).jobsOpened, type(uint16).max, "jobsOpened");
        vm.expectPartialRevert(IMarket.Market_NoUseLeft.selector);
        open(offerDigest, type(uint16).max);
    }

    function test_openJobIsTheBuyersAlone() external {
        bytes32 offerDigest = buy(usualOffer(), 1);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NoUseLeft.selector, offerDigest, stranger, 0));
        vm.prank(stranger);
        market.openJob(offerDigest, 0, keccak256("algorithm"), keccak256("spec"));
    }

    /// @dev Writes the grant's slot: opening 65,534 jobs would take minutes.
    function setJobsOpened(bytes32 offerDigest, uint16 opened) private {
        bytes32 grants = keccak256(abi.encode(offerDigest, uint256(7)));
        bytes32 slot = keccak256(abi.encode(buyer, grants));
        uint256 word = uint256(vm.load(address(market), slot));
        Check.equal(uint16(word >> 208), type(uint16).max, "the slot of the grant");
        vm.store(address(market), slot, bytes32(word | (uint256(opened) << 224)));
        Check.equal(market.grantOf(offerDigest, buyer).jobsOpened, opened, "the written value");
    }
}
