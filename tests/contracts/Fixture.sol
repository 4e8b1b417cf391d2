// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {AssetRegistry} from "../../contracts/AssetRegistry.sol";
import {Authority} from "../../contracts/Authority.sol";
import {ContributionCredits} from "../../contracts/ContributionCredits.sol";
import {Forwarder} from "../../contracts/Forwarder.sol";
import {Market} from "../../contracts/Market.sol";
import {ParticipantRegistry} from "../../contracts/ParticipantRegistry.sol";
import {IAssetRegistry} from "../../contracts/interfaces/IAssetRegistry.sol";
import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {IParticipantRegistry} from "../../contracts/interfaces/IParticipantRegistry.sol";
import {TestEuro} from "../../contracts/mocks/TestEuro.sol";
import {vm} from "./Vm.sol";

/// @title The deployed contracts, named people, and the steps of a trade.
abstract contract Fixture {
    uint256 internal constant START = 1_800_000_000; // 2027-01-15 08:00 UTC
    uint40 internal constant WINDOW = 1 hours;
    uint40 internal constant JOB_TIME = 2 hours;
    uint40 internal constant DISPUTE_TIME = 3 hours;
    uint32 internal constant DELAY = 2 days;
    uint48 internal constant MIN_BOND = 100_000_000;
    uint48 internal constant PENALTY = 1_000_000;
    uint48 internal constant CHALLENGE_BOND = 10_000_000;
    uint48 internal constant JUDGE_FEE = 4_000_000;
    uint48 internal constant PRICE = 20_000_001;
    bytes internal constant WRAPPED = hex"c0ffee";

    uint256 internal ownerKey = uint256(keccak256("owner"));
    uint256 internal nodeKey = uint256(keccak256("node"));
    uint256 internal buyerKey = uint256(keccak256("buyer"));
    address internal owner = vm.addr(ownerKey);
    address internal node = vm.addr(nodeKey);
    address internal buyer = vm.addr(buyerKey);
    address internal provider = owner; // an offer's provider owns its asset
    address internal arbiter = vm.addr(uint256(keccak256("arbiter")));
    address internal verifier = vm.addr(uint256(keccak256("verifier")));
    address internal governor = vm.addr(uint256(keccak256("governor")));
    address internal registrar = vm.addr(uint256(keccak256("registrar")));
    address internal stranger = vm.addr(uint256(keccak256("stranger")));
    address internal pauser = vm.addr(uint256(keccak256("pauser")));

    uint48 internal minBond = MIN_BOND;
    TestEuro internal euro;
    Forwarder internal forwarder;
    Authority internal authority;
    ParticipantRegistry internal participants;
    AssetRegistry internal registry;
    Market internal market;
    ContributionCredits internal credits;
    uint256 internal asset;

    function setUp() public virtual {
        vm.warp(START);
        vm.chainId(31_337);
        euro = new TestEuro();
        deploy(IERC20(address(euro)));
        vm.prank(provider);
        participants.setNode(node, keccak256("sealing key"), 31);
        bond(provider, MIN_BOND);
        asset = publish("dataset");
    }

    /// @dev The order that contracts/README.md states.
    function deploy(IERC20 token) internal {
        forwarder = new Forwarder();
        uint256 nonce = vm.getNonce(address(this));
        authority = new Authority(
            governor, pauser, registrar, DELAY, created(nonce + 3), created(nonce + 2), created(nonce + 1)
        );
        participants = new ParticipantRegistry(address(authority));
        registry = new AssetRegistry(created(nonce + 4), address(authority));
        market = new Market(token, registry, participants, address(authority), address(forwarder), usualRules());
        credits = new ContributionCredits(market, registry, address(forwarder));
    }

    function usualRules() internal view returns (IMarket.Rules memory) {
        return
            IMarket.Rules(WINDOW, JOB_TIME, DISPUTE_TIME, minBond, PENALTY, CHALLENGE_BOND, JUDGE_FEE);
    }

    function created(uint256 nonce) private view returns (address) {
        return vm.computeCreateAddress(address(this), nonce);
    }

    function bond(address account, uint48 amount) internal {
        fund(account, amount);
        vm.prank(account);
        market.depositBond(amount);
    }

    function publish(bytes32 salt) internal returns (uint256) {
        vm.prank(owner);
        return registry.publish(1, salt, keccak256("listing"));
    }

    function usualOffer() internal view returns (IMarket.Offer memory offer) {
        offer.assetId = asset;
        offer.provider = provider;
        offer.price = PRICE;
        offer.maxUses = 100;
        offer.termDays = 30;
        offer.validUntil = uint40(START + 1 days);
        offer.failureFeeBps = 1_000;
        (offer.arbiter, offer.verifier) = (arbiter, verifier);
        offer.termsDigest = keccak256("terms");
        offer.salt = keccak256("salt");
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function signed(IMarket.Offer memory offer) internal view returns (bytes memory) {
        return sign(ownerKey, market.digestOf(offer));
    }

    function fund(address account, uint256 amount) internal {
        euro.mint(account, amount);
        vm.prank(account);
        euro.approve(address(market), amount);
    }

    function buy(IMarket.Offer memory offer, uint16 uses) internal returns (bytes32 offerDigest) {
        fund(buyer, uint256(uses) * offer.price);
        bytes memory signature = signed(offer);
        vm.prank(buyer);
        market.buy(offer, signature, uses);
        return market.digestOf(offer);
    }

    /// @dev The buyer's `buy` of one use of a signed offer reverts with `reason`.
    function refuses(IMarket.Offer memory offer, bytes memory signature, bytes memory reason) internal {
        fund(buyer, offer.price);
        vm.expectRevert(reason);
        vm.prank(buyer);
        market.buy(offer, signature, 1);
    }

    function requestOf(bytes32 offerDigest, uint16 index) internal view returns (IMarket.Request memory) {
        return IMarket.Request(offerDigest, buyer, index, keccak256("algorithm"), keccak256("spec"));
    }

    function open(bytes32 offerDigest, uint16 index) internal returns (bytes32 jobId) {
        vm.prank(buyer);
        return market.openJob(offerDigest, index, keccak256("algorithm"), keccak256("spec"));
    }

    /// @dev A grant of `uses` and its first job.
    function openFirst(uint16 uses) internal returns (bytes32 jobId, IMarket.Request memory request) {
        bytes32 offerDigest = buy(usualOffer(), uses);
        return (open(offerDigest, 0), requestOf(offerDigest, 0));
    }

    function receiptOf(bytes32 jobId) internal pure returns (IMarket.Receipt memory) {
        return IMarket.Receipt({
            jobId: jobId,
            inputRoot: keccak256("input"),
            outputDigest: keccak256("output"),
            keyDigest: keccak256(WRAPPED),
            environmentDigest: keccak256("environment"),
            isolation: 31,
            startedAt: uint40(START),
            finishedAt: uint40(START + 60)
        });
    }

    /// @dev EIP-712 written out, apart from the contracts' own code.
    function receiptDigest(IMarket.Receipt memory receipt) internal view returns (bytes32) {
        bytes32 kind = keccak256(
            "Receipt(bytes32 jobId,bytes32 inputRoot,bytes32 outputDigest,bytes32 keyDigest,bytes32 environmentDigest,uint8 isolation,uint40 startedAt,uint40 finishedAt)"
        );
        return typedDigest(keccak256(abi.encode(kind, receipt)), block.chainid, address(market));
    }

    function typedDigest(bytes32 structHash, uint256 chainId, address contract_) internal pure returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Steelyard Market"),
                keccak256("1"),
                chainId,
                contract_
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function submit(bytes32 jobId) internal {
        IMarket.Receipt memory receipt = receiptOf(jobId);
        market.submit(receipt, sign(nodeKey, receiptDigest(receipt)), WRAPPED);
    }

    function finaliseOne(bytes32 jobId) internal {
        bytes32[] memory jobIds = new bytes32[](1);
        jobIds[0] = jobId;
        market.finalise(jobIds);
    }

    function fail(IMarket.Request memory request, IMarket.Fault fault) internal {
        vm.prank(node);
        market.fail(request, usualOffer(), fault, keccak256("report"));
    }

    /// @dev What the Market holds besides the provider's bond.
    function held() internal view returns (uint256) {
        return euro.balanceOf(address(market)) - market.bondOf(provider).staked;
    }

    /// @dev The buyer disputes, with exactly the stake that it takes.
    function dispute(IMarket.Request memory request, IDisputes.Ground ground) internal {
        fund(buyer, CHALLENGE_BOND);
        vm.prank(buyer);
        market.dispute(request, usualOffer(), ground, keccak256("evidence"));
    }

    /// @dev A settled job and its request.
    function settled() internal returns (bytes32 jobId, IMarket.Request memory request) {
        (jobId, request) = openFirst(1);
        submit(jobId);
        vm.prank(buyer);
        market.accept(request);
    }
}
