// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";

import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {Vm, vm} from "./Vm.sol";

/// @title The duties of Regulation (EU) 2023/2854, Article 36(1), for smart contracts that execute data sharing
/// agreements: a test named for each. What each rests on is tested elsewhere in detail.
contract DataActTest is Fixture {
    /// @dev (a) "robustness and access control": functional errors and manipulation by third parties are withstood.
    function testFuzz_article36_a_robustness_noThirdPartyMovesAJobOrItsMoney(address third, bytes32 salt) external {
        vm.assume(third != buyer && third != node && third != owner && third != address(0));
        (bytes32 jobId, IMarket.Request memory request) = openFirst(1);
        IMarket.Offer memory offer = usualOffer();
        vm.startPrank(third);
        vm.expectPartialRevert(IMarket.Market_WrongNode.selector);
        market.reject(request, salt);
        vm.expectPartialRevert(IMarket.Market_WrongNode.selector);
        market.fail(request, offer, IMarket.Fault.Policy, salt);
        vm.expectPartialRevert(IMarket.Market_TooEarly.selector);
        market.expire(request);
        vm.expectPartialRevert(IMarket.Market_WrongBuyer.selector);
        market.accept(request);
        vm.stopPrank();
        Check.equal(uint8(market.jobOf(jobId).state), uint8(IMarket.State.Open), "state");
    }

    /// @dev (b) "safe termination and interruption": the provider stops at will, and money goes to its owners.
    function test_article36_b_safeTermination_aRetiredDatasetSellsNothingAndUnusedUsesComeBack() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(3);
        vm.prank(owner);
        registry.retire(asset);
        vm.prank(buyer);
        market.claimUnusedEarly(usualOffer());
        submit(jobId);
        vm.prank(buyer);
        market.accept(request);
        Check.equal(market.balanceOf(buyer), 2 * uint256(PRICE), "unused");
        Check.equal(market.balanceOf(provider), PRICE, "used");
        Check.equal(held(), 3 * uint256(PRICE), "nothing is lost");
    }

    function test_article36_b_safeInterruption_aPauseStopsWhatIsNewAndNoExit() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(2);
        submit(jobId);
        vm.prank(pauser);
        market.setPaused(true);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_Paused.selector));
        open(request.offerDigest, 1);
        vm.warp(START + WINDOW + 1);
        finaliseOne(jobId);
        vm.prank(provider);
        market.withdraw(provider);
        Check.equal(euro.balanceOf(provider), PRICE, "withdrawn while paused");
    }

    /// @dev (c) "data archiving and continuity": what was agreed and done stays readable after the end, on chain.
    function test_article36_c_archiving_everyStepOfAnAgreementIsLogged() external {
        vm.recordLogs();
        (bytes32 jobId,) = settled();
        bytes32[4] memory wanted = [
            IMarket.AccessBought.selector,
            IMarket.JobOpened.selector,
            IMarket.ReceiptSubmitted.selector,
            IMarket.JobSettled.selector
        ];
        uint256 found;
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length && found < 4; ++i) {
            if (logs[i].emitter == address(market) && logs[i].topics[0] == wanted[found]) ++found;
        }
        Check.equal(found, 4, "bought, opened, submitted, settled, in this order");
        vm.warp(START + 3_650 days);
        Check.equal(market.jobOf(jobId).receipt, receiptDigest(receiptOf(jobId)), "the receipt stays");
    }

    function test_article36_c_continuity_modelsOfAPausedMarketAreStillRegistered() external {
        (, IMarket.Request memory request) = settled();
        vm.startPrank(pauser);
        market.setPaused(true);
        registry.setPaused(true);
        vm.stopPrank();
        vm.prank(buyer);
        Check.equal(registry.ownerOf(credits.registerModel(request, "model")), buyer, "owner");
    }

    /// @dev (d) "access control": rigorous mechanisms at governance and contract level.
    function testFuzz_article36_d_accessControl_onlyTheNamedPowersGovern(address third) external {
        vm.assume(third != pauser && third != governor && third != registrar);
        bytes memory reason = abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, third);
        vm.startPrank(third);
        vm.expectRevert(reason);
        market.setPaused(true);
        vm.expectRevert(reason);
        registry.setPaused(true);
        vm.expectRevert(reason);
        registry.announceSuccessor(third);
        vm.expectRevert(reason);
        participants.setIssuer(0, third, true);
        vm.stopPrank();
    }

    /// @dev (e) "consistency": the contract does what the agreement that it executes says, and nothing else.
    function testFuzz_article36_e_consistency_theGrantIsTheSignedOffer(uint48 price, uint16 uses, uint16 term)
        external
    {
        IMarket.Offer memory offer = usualOffer();
        (offer.price, offer.maxUses, offer.termDays) = (price, uses % 100 + 1, term % 3_650);
        bytes32 offerDigest = buy(offer, offer.maxUses);
        IMarket.Grant memory grant = market.grantOf(offerDigest, buyer);
        Check.equal(grant.price, price, "price");
        Check.equal(grant.jobsPaid, offer.maxUses, "uses");
        Check.equal(grant.lastDay, START / 1 days + offer.termDays, "term");
        Check.equal(grant.provider, offer.provider, "provider");
        offer.price ^= 1;
        Check.isTrue(market.digestOf(offer) != offerDigest, "another price is another agreement");
    }
}
