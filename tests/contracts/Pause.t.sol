// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";

import {IAssetRegistry} from "../../contracts/interfaces/IAssetRegistry.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title What a pause stops; that every state's exits work while paused is walked in StateTable.t.sol.
contract PauseTest is Fixture {
    function test_aPauseStopsBuyOpenJobAndPublish() external {
        bytes32 offerDigest = buy(usualOffer(), 1);
        pause(true);
        refuses(usualOffer(), signed(usualOffer()), abi.encodeWithSelector(IMarket.Market_Paused.selector));
        bytes memory signature = signed(usualOffer());
        IMarket.Permit memory permit;
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_Paused.selector));
        vm.prank(buyer);
        market.buyWithPermit(usualOffer(), signature, 1, permit);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_Paused.selector));
        open(offerDigest, 0);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.AssetRegistry_Paused.selector));
        publish("another");

        pause(false);
        open(offerDigest, 0);
        publish("another");
    }

    function test_modelsAreRegisteredWhilePaused() external {
        (, IMarket.Request memory request) = settled();
        pause(true);
        vm.prank(buyer);
        uint256 model = credits.registerModel(request, "model");
        Check.equal(registry.ownerOf(model), buyer, "owner");
    }

    function test_assetsAreTransferredAndBalancesWithdrawnWhilePaused() external {
        settled();
        pause(true);
        vm.prank(owner);
        registry.transferFrom(owner, stranger, asset);
        vm.prank(stranger);
        market.raiseEpoch(asset);
        market.announceOffer(asset, "offer", "document");
        vm.prank(provider);
        market.withdraw(provider);
        Check.equal(euro.balanceOf(provider), PRICE, "withdrawn");
    }

    function testFuzz_onlyThePauserPauses(address caller) external {
        vm.assume(caller != pauser && caller != governor);
        bytes memory reason = abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, caller);
        vm.expectRevert(reason);
        vm.prank(caller);
        market.setPaused(true);
        vm.expectRevert(reason);
        vm.prank(caller);
        registry.setPaused(true);
    }

    function pause(bool paused) private {
        vm.startPrank(pauser);
        market.setPaused(paused);
        registry.setPaused(paused);
        vm.stopPrank();
    }
}
