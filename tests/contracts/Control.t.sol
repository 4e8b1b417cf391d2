// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";

import {IAssetRegistry} from "../../contracts/interfaces/IAssetRegistry.sol";
import {IEscrow} from "../../contracts/interfaces/IEscrow.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {IParticipantRegistry} from "../../contracts/interfaces/IParticipantRegistry.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title The few powers that are nobody's own: who has them, after which delay, and what none of them reaches.
contract ControlTest is Fixture {
    bytes32 private constant ROLE = keccak256("accredited hospital");
    address private issuer = vm.addr(uint256(keccak256("issuer")));

    function test_whoeverDeploysKeepsNoPower() external {
        for (uint64 role = 0; role < 3; ++role) {
            (bool member,) = authority.hasRole(role, address(this));
            Check.isTrue(!member, "the deployer has no role");
        }
        vm.expectPartialRevert(IAccessManager.AccessManagerUnauthorizedAccount.selector);
        authority.grantRole(1, address(this), 0);
    }

    function test_thePauserPausesAtOnceAndNothingElse() external {
        vm.prank(pauser);
        market.setPaused(true);
        Check.isTrue(market.paused(), "paused");
        refusesUnauthorized(pauser, address(registry), abi.encodeCall(IAssetRegistry.announceSuccessor, (pauser)));
        refusesUnauthorized(
            pauser, address(participants), abi.encodeCall(IParticipantRegistry.setIssuer, (ROLE, pauser, true))
        );
    }

    function test_aSuccessorIsAnnouncedAfterTheDelayAndNotBefore() external {
        bytes memory call = abi.encodeCall(IAssetRegistry.announceSuccessor, (stranger));
        vm.expectPartialRevert(IAccessManager.AccessManagerNotScheduled.selector);
        vm.prank(governor);
        registry.announceSuccessor(stranger);

        announce(governor, address(registry), call);
        vm.warp(START + DELAY - 1);
        vm.expectPartialRevert(IAccessManager.AccessManagerNotReady.selector);
        vm.prank(governor);
        registry.announceSuccessor(stranger);

        vm.warp(START + DELAY);
        vm.expectEmit();
        emit IAssetRegistry.SuccessorAnnounced(stranger);
        vm.prank(governor);
        registry.announceSuccessor(stranger);
        Check.equal(registry.successor(), stranger, "successor");
        publish("still open");
    }

    function test_rolesChangeAfterTheDelayAndNotBefore() external {
        bytes memory call = abi.encodeCall(IAccessManager.grantRole, (1, stranger, 0));
        vm.expectPartialRevert(IAccessManager.AccessManagerNotScheduled.selector);
        vm.prank(governor);
        authority.grantRole(1, stranger, 0);
        announce(governor, address(authority), call);
        vm.warp(START + DELAY);
        vm.prank(governor);
        authority.grantRole(1, stranger, 0);
        vm.prank(stranger);
        registry.setPaused(true);
        Check.isTrue(registry.paused(), "the new pauser pauses");
    }

    function test_anAnnouncedStepCanBeCalledOff() external {
        bytes memory call = abi.encodeCall(IAssetRegistry.announceSuccessor, (stranger));
        announce(governor, address(registry), call);
        vm.prank(governor);
        authority.cancel(governor, address(registry), call);
        vm.warp(START + DELAY);
        vm.expectPartialRevert(IAccessManager.AccessManagerNotScheduled.selector);
        vm.prank(governor);
        registry.announceSuccessor(stranger);
    }

    function test_noRoleMovesMoneyOrTouchesAJob() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(1);
        address[3] memory powers = [governor, pauser, registrar];
        for (uint256 i = 0; i < powers.length; ++i) {
            vm.startPrank(powers[i]);
            vm.expectPartialRevert(IMarket.Market_WrongNode.selector);
            market.reject(request, 0);
            vm.expectPartialRevert(IMarket.Market_WrongBuyer.selector);
            market.accept(request);
            vm.expectPartialRevert(IMarket.Market_NotAssetOwner.selector);
            market.raiseEpoch(asset);
            vm.expectPartialRevert(IAssetRegistry.AssetRegistry_NotOwner.selector);
            registry.retire(asset);
            vm.stopPrank();
        }
        Check.equal(uint8(market.jobOf(jobId).state), uint8(IMarket.State.Open), "the job is as it was");
    }

    /// @dev What a thief of the node's hot key reaches: answers to jobs that are open, until the owner sets another.
    function test_aStolenHotKeyAnswersOpenJobsAndReachesNothingElse() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(2);
        IMarket.Offer memory offer = usualOffer();
        bytes memory signature = sign(nodeKey, market.digestOf(offer));
        fund(node, PRICE);
        vm.startPrank(node);
        vm.expectPartialRevert(IMarket.Market_WrongSigner.selector);
        market.buy(offer, signature, 1);
        vm.expectPartialRevert(IMarket.Market_NotAssetOwner.selector);
        market.raiseEpoch(asset);
        vm.expectPartialRevert(IAssetRegistry.AssetRegistry_NotOwner.selector);
        registry.retire(asset);
        vm.expectPartialRevert(IEscrow.Market_BondTooSmall.selector);
        market.startUnbonding(1);
        vm.expectPartialRevert(IEscrow.Market_NothingOwed.selector);
        market.withdraw(node);
        participants.setNode(stranger, "key", 0); // its own entry, which is nobody's node
        vm.stopPrank();
        Check.equal(participants.nodeOf(provider), node, "the provider's entry stands");

        vm.prank(provider);
        participants.setNode(stranger, keccak256("sealing key"), 31);
        vm.expectPartialRevert(IMarket.Market_WrongNode.selector);
        vm.prank(node);
        market.reject(request, 0);
        Check.equal(uint8(market.jobOf(jobId).state), uint8(IMarket.State.Open), "the job waits for the new node");
        vm.prank(stranger);
        market.reject(request, 0);
        Check.equal(market.balanceOf(buyer), PRICE, "which answers it");
    }

    // Assets

    function test_onlyTheOwnerPausesResumesAndRetiresAnAsset() external {
        bytes memory reason =
            abi.encodeWithSelector(IAssetRegistry.AssetRegistry_NotOwner.selector, asset, stranger);
        vm.startPrank(stranger);
        vm.expectRevert(reason);
        registry.pauseAsset(asset);
        vm.expectRevert(reason);
        registry.resumeAsset(asset);
        vm.expectRevert(reason);
        registry.retire(asset);
        vm.stopPrank();
    }

    function test_retiredIsForEver() external {
        vm.startPrank(owner);
        registry.retire(asset);
        bytes memory reason = abi.encodeWithSelector(
            IAssetRegistry.AssetRegistry_NotActive.selector, asset, IAssetRegistry.Status.Retired
        );
        vm.expectRevert(reason);
        registry.resumeAsset(asset);
        vm.expectRevert(reason);
        registry.pauseAsset(asset);
        registry.transferFrom(owner, stranger, asset);
        vm.stopPrank();
        vm.expectRevert(reason);
        vm.prank(stranger);
        registry.resumeAsset(asset);
        Check.equal(registry.metadataOf(asset), keccak256("listing"), "what was made of it still refers to it");
        Check.isTrue(!registry.isActive(asset) && !registry.isActive(1), "neither retired nor unknown is active");
    }

    function test_jobsOfARetiredAssetGoOn() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(2);
        vm.prank(owner);
        registry.retire(asset);
        submit(jobId);
        vm.prank(buyer);
        market.accept(request);
        Check.equal(market.balanceOf(provider), PRICE, "paid");
    }

    // Accreditations

    function test_anOfferThatAsksForARoleIsForAccreditedBuyersAlone() external {
        IMarket.Offer memory offer = usualOffer();
        offer.requiredRole = ROLE;
        bytes memory reason = abi.encodeWithSelector(IMarket.Market_NotAccredited.selector, buyer, ROLE);
        refuses(offer, signed(offer), reason);
        accredit(uint40(START + DELAY + 10));
        offer.validUntil = type(uint40).max;
        vm.warp(START + DELAY + 10);
        buy(offer, 1);
        vm.warp(START + DELAY + 11);
        refuses(offer, signed(offer), reason);
    }

    function test_anIssuerTakesAnAccreditationBack() external {
        accredit(type(uint40).max);
        Check.isTrue(participants.isAccredited(buyer, ROLE), "accredited");
        Check.isTrue(!participants.isAccredited(buyer, keccak256("another role")), "in that role only");
        vm.prank(issuer);
        participants.accredit(buyer, ROLE, 0);
        Check.isTrue(!participants.isAccredited(buyer, ROLE), "taken back");
        Check.equal(participants.accreditationOf(buyer, ROLE).issuer, issuer, "by whom stays known");
    }

    function test_distrustVoidsWhatAnIssuerIssued() external {
        accredit(type(uint40).max);
        trust(issuer, false);
        Check.isTrue(!participants.isAccredited(buyer, ROLE), "void");
        vm.expectRevert(
            abi.encodeWithSelector(IParticipantRegistry.ParticipantRegistry_NotIssuer.selector, issuer, ROLE)
        );
        vm.prank(issuer);
        participants.accredit(buyer, ROLE, type(uint40).max);
    }

    function test_trustingAnIssuerAgainRevivesWhatItIssuedBefore() external {
        accredit(type(uint40).max);
        trust(issuer, false);
        trust(issuer, true);
        Check.isTrue(participants.isAccredited(buyer, ROLE), "as before: after a theft trust a new address only");
    }

    function testFuzz_nobodyElseIssues(address other) external {
        vm.assume(other != issuer);
        accredit(type(uint40).max);
        vm.expectPartialRevert(IParticipantRegistry.ParticipantRegistry_NotIssuer.selector);
        vm.prank(other);
        participants.accredit(other, ROLE, type(uint40).max);
    }

    function test_issuersAreTrustedAfterTheDelayAndNotBefore() external {
        vm.expectPartialRevert(IAccessManager.AccessManagerNotScheduled.selector);
        vm.prank(registrar);
        participants.setIssuer(ROLE, issuer, true);
        refusesUnauthorized(
            stranger, address(participants), abi.encodeCall(IParticipantRegistry.setIssuer, (ROLE, stranger, true))
        );
    }

    function accredit(uint40 validUntil) private {
        trust(issuer, true);
        vm.prank(issuer);
        participants.accredit(buyer, ROLE, validUntil);
    }

    function trust(address account, bool trusted) private {
        announce(
            registrar, address(participants), abi.encodeCall(IParticipantRegistry.setIssuer, (ROLE, account, trusted))
        );
        vm.warp(block.timestamp + DELAY);
        vm.prank(registrar);
        participants.setIssuer(ROLE, account, trusted);
    }

    function announce(address who, address target, bytes memory call) private {
        vm.prank(who);
        authority.schedule(target, call, 0);
    }

    function refusesUnauthorized(address who, address target, bytes memory call) private {
        vm.prank(who);
        (bool done, bytes memory answer) = target.call(call);
        Check.isTrue(!done, "refused");
        Check.equal(bytes32(bytes4(answer)), bytes32(IAccessManaged.AccessManagedUnauthorized.selector), "why");
    }
}
