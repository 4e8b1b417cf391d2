// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {AssetRegistry} from "../../contracts/AssetRegistry.sol";
import {ContributionCredits} from "../../contracts/ContributionCredits.sol";
import {Market} from "../../contracts/Market.sol";
import {IAssetRegistry} from "../../contracts/interfaces/IAssetRegistry.sol";
import {IContributionCredits} from "../../contracts/interfaces/IContributionCredits.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {IParticipantRegistry} from "../../contracts/interfaces/IParticipantRegistry.sol";
import {TestEuro} from "../../contracts/mocks/TestEuro.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title Assets, participants, models and their credits.
contract RegistryTest is Fixture {
    function testFuzz_publishMintsTheForetoldId(bool algorithm, bytes32 salt, bytes32 metadata) external {
        uint8 kind = algorithm ? 2 : 1;
        vm.assume(salt != "dataset");
        uint256 expected = (uint256(kind) << 248) | uint248(uint256(keccak256(abi.encode(owner, salt))));
        Check.equal(registry.assetIdOf(kind, owner, salt), expected, "assetIdOf");
        vm.prank(owner);
        Check.equal(registry.publish(kind, salt, metadata), expected, "publish");
        Check.equal(registry.ownerOf(expected), owner, "owner");
        Check.equal(registry.metadataOf(expected), metadata, "metadata");
    }

    function testFuzz_publishRefusesOtherKinds(uint8 kind) external {
        vm.assume(kind != 1 && kind != 2);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.AssetRegistry_WrongKind.selector, kind));
        registry.publish(kind, "salt", "metadata");
    }

    function testFuzz_nobodyTakesAnothersIdBySendingItsSaltFirst(bytes32 salt) external {
        vm.assume(salt != "dataset");
        vm.prank(stranger);
        uint256 taken = registry.publish(1, salt, "stolen");
        uint256 mine = publish(salt);
        Check.isTrue(mine != taken, "ids name their owner");
        Check.equal(registry.ownerOf(mine), owner, "owner");
    }

    function test_publishRefusesTheSameSaltTwice() external {
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.AssetRegistry_AlreadyPublished.selector, asset));
        publish("dataset");
    }

    function test_anIdCannotBeTakenBackAfterItsTransfer() external {
        vm.prank(owner);
        registry.transferFrom(owner, stranger, asset);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.AssetRegistry_AlreadyPublished.selector, asset));
        publish("dataset");
        Check.equal(registry.ownerOf(asset), stranger, "owner");
    }

    function test_tokenUriIsTheContentIdOfTheListing() external {
        vm.prank(owner);
        uint256 empty = registry.publish(1, "empty", sha256(""));
        // CIDv1 (raw, sha2-256) of the empty block, as IPFS prints it.
        Check.equal(
            registry.tokenURI(empty), "ipfs://bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "tokenURI"
        );
    }

    function test_metadataOfAnUnknownAssetReverts() external {
        vm.expectPartialRevert(IERC721Errors.ERC721NonexistentToken.selector);
        registry.metadataOf(1);
        vm.expectPartialRevert(IERC721Errors.ERC721NonexistentToken.selector);
        registry.tokenURI(1);
    }

    function test_theRegistryIsAnErc721() external view {
        Check.isTrue(registry.supportsInterface(0x80ac58cd), "ERC-721");
        Check.isTrue(registry.supportsInterface(0x5b5e139f), "ERC-721 metadata");
        Check.isTrue(registry.supportsInterface(0x01ffc9a7), "ERC-165");
        Check.isTrue(!registry.supportsInterface(0xffffffff), "not everything");
    }

    function test_onlyCreditsPublishesModels() external {
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.AssetRegistry_NotCredits.selector, owner));
        vm.prank(owner);
        registry.publishModel(owner, "salt", "metadata");
    }

    function test_aNewSealingKeyStartsAnEpochAndANewNodeDoesNot() external {
        Check.equal(participants.epochOf(provider), 1, "first key");
        vm.expectEmit();
        emit IParticipantRegistry.NodeSet(provider, stranger, keccak256("sealing key"), 1, 30);
        vm.prank(provider);
        participants.setNode(stranger, keccak256("sealing key"), 30);
        vm.expectEmit();
        emit IParticipantRegistry.NodeSet(provider, stranger, keccak256("second key"), 2, 7);
        vm.prank(provider);
        participants.setNode(stranger, keccak256("second key"), 7);
        Check.equal(participants.nodeOf(provider), stranger, "node");
        Check.equal(participants.sealingKeyOf(provider), keccak256("second key"), "key");
        Check.equal(participants.isolationOf(provider), 7, "isolation");
        Check.equal(participants.nodeOf(stranger), address(0), "only the caller's entry");
    }

    function test_aSettledJobMintsItsModelAndCreditsTheProvider() external {
        (bytes32 jobId, IMarket.Request memory request) = settled();
        vm.prank(buyer);
        uint256 model = credits.registerModel(request, keccak256("model"));
        Check.equal(model, registry.assetIdOf(3, buyer, jobId), "model id");
        Check.equal(registry.ownerOf(model), buyer, "owner");
        Check.equal(registry.metadataOf(model), keccak256("model"), "metadata");
        Check.equal(credits.unitsOf(model, provider), 1_000_000, "units");
        Check.equal(credits.totalUnits(model), 1_000_000, "total");
    }

    function test_aModelIsRegisteredOnlyOnce() external {
        (bytes32 jobId, IMarket.Request memory request) = settled();
        vm.prank(buyer);
        credits.registerModel(request, keccak256("model"));
        bytes memory reason = abi.encodeWithSelector(
            IAssetRegistry.AssetRegistry_AlreadyPublished.selector, registry.assetIdOf(3, buyer, jobId)
        );
        vm.expectRevert(reason);
        vm.prank(buyer);
        credits.registerModel(request, keccak256("another"));
    }

    function test_aModelSoldOnCannotBeRegisteredAgain() external {
        (, IMarket.Request memory request) = settled();
        vm.prank(buyer);
        uint256 model = credits.registerModel(request, keccak256("model"));
        vm.prank(buyer);
        registry.transferFrom(buyer, stranger, model);
        vm.expectPartialRevert(IAssetRegistry.AssetRegistry_AlreadyPublished.selector);
        vm.prank(buyer);
        credits.registerModel(request, keccak256("again"));
        Check.equal(credits.unitsOf(model, provider), 1_000_000, "credits stay where they were earned");
    }

    function test_onlyTheBuyerRegistersAModel() external {
        (, IMarket.Request memory request) = settled();
        vm.expectRevert(
            abi.encodeWithSelector(IContributionCredits.ContributionCredits_NotBuyer.selector, stranger, buyer)
        );
        vm.prank(stranger);
        credits.registerModel(request, "model");

        request.buyer = stranger; // names another job, which does not exist
        vm.expectPartialRevert(IContributionCredits.ContributionCredits_NotSettled.selector);
        vm.prank(stranger);
        credits.registerModel(request, "model");
    }

    function test_noModelBeforeSettlement() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(1);
        refusesModel(request, IMarket.State.Open);
        submit(jobId);
        refusesModel(request, IMarket.State.Submitted);
        vm.warp(START + WINDOW);
        refusesModel(request, IMarket.State.Submitted);
    }

    function test_noModelOfAJobThatFailed() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(1);
        fail(request, IMarket.Fault.Algorithm);
        refusesModel(request, IMarket.State.Faulted);
        vm.warp(START + WINDOW + 1);
        finaliseOne(jobId);
        refusesModel(request, IMarket.State.Failed);
    }

    function test_creditsRefuseARegistryThatDoesNotKnowThem() external {
        vm.expectPartialRevert(IContributionCredits.ContributionCredits_WrongRegistry.selector);
        new ContributionCredits(market, registry, address(forwarder));
    }

    function test_marketRefusesDurationsOutOfRange() external {
        for (uint256 i = 0; i < 6; ++i) {
            uint40 bad = i % 2 == 0 ? 0 : 365 days + 1;
            IMarket.Rules memory rules = usualRules();
            if (i / 2 == 0) rules.window = bad;
            else if (i / 2 == 1) rules.jobTime = bad;
            else rules.disputeTime = bad;
            vm.expectRevert(abi.encodeWithSelector(IMarket.Market_BadDuration.selector, bad, 365 days));
            new Market(IERC20(address(euro)), registry, participants, address(authority), address(forwarder), rules);
        }
    }

    function test_marketRefusesAJudgesFeeThatNoStakeCovers() external {
        IMarket.Rules memory rules = usualRules();
        rules.judgeFee = rules.challengeBond + 1;
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarket.Market_FeeAboveBond.selector, rules.judgeFee, rules.challengeBond
            )
        );
        new Market(IERC20(address(euro)), registry, participants, address(authority), address(forwarder), rules);
    }

    function test_testEuroExistsOnDevelopmentChainsOnly() external {
        Check.equal(euro.decimals(), 6, "decimals");
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(TestEuro.TestEuro_NotADevelopmentChain.selector, 1));
        new TestEuro();
    }

    function refusesModel(IMarket.Request memory request, IMarket.State state) private {
        bytes memory reason = abi.encodeWithSelector(
            IContributionCredits.ContributionCredits_NotSettled.selector, market.jobIdOf(request), state
        );
        vm.expectRevert(reason);
        vm.prank(buyer);
        credits.registerModel(request, "model");
    }
}
