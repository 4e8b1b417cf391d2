// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssetRegistry} from "../../contracts/AssetRegistry.sol";
import {Market} from "../../contracts/Market.sol";
import {ParticipantRegistry} from "../../contracts/ParticipantRegistry.sol";
import {IEscrow} from "../../contracts/interfaces/IEscrow.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {TestEuro} from "../../contracts/mocks/TestEuro.sol";
import {vm} from "./Vm.sol";

/// @title The people and offers of the random trades, and what each call moved, for the invariants to compare.
abstract contract Books {
    struct Ledger {
        bytes32 jobId;
        IMarket.Request request;
        uint8 offer;
        uint48 price;
        uint256 toBuyer;
        uint256 toProvider;
        uint256 toJudge;
        uint256 staked; // by the challenger
        uint256 slashed; // from the provider's bond
        uint8 ends; // how often an end state was reached
    }

    uint256 internal constant OWNERS = 2;
    uint256 internal constant BUYERS = 3;
    uint256 internal constant OFFERS = 4;
    bytes internal constant WRAPPED = hex"c0ffee";

    Market public market;
    TestEuro public euro;
    AssetRegistry internal _registry;
    address internal _pauser;
    address internal _arbiter;
    address internal _verifier;
    address internal _test = msg.sender;

    IMarket.Offer[] internal _offers;
    bytes[] internal _signatures;
    Ledger[] internal _jobs;
    uint256 public paidIn;
    uint256 public gifts;
    uint256 public withdrawn;
    uint256 public claimed;
    uint256 public bonded;
    uint256 public released;
    uint256 public rulings;
    uint256 public startedWhilePaused;
    mapping(string => uint256) public reached; // calls that got through, so that no branch is silently dead

    constructor(
        Market market_,
        TestEuro euro_,
        AssetRegistry registry_,
        ParticipantRegistry participants,
        address pauser_,
        address arbiter_,
        address verifier_
    ) {
        (market, euro, _registry, _pauser) = (market_, euro_, registry_, pauser_);
        (_arbiter, _verifier) = (arbiter_, verifier_);
        for (uint256 i = 0; i < OWNERS; ++i) {
            vm.prank(ownerOf(i));
            participants.setNode(vm.addr(nodeKey(i)), keccak256("sealing key"), 31);
            deposit(ownerOf(i), 2 * market.minBond());
        }
        for (uint8 i = 0; i < OFFERS; ++i) {
            addOffer(i);
        }
    }

    function deposit(address owner, uint48 amount) internal {
        pay(owner, amount);
        vm.prank(owner);
        market.depositBond(amount);
        bonded += amount;
    }

    /// @dev New euros that the Market may take.
    function pay(address account, uint256 amount) internal {
        euro.mint(account, amount);
        vm.prank(account);
        euro.approve(address(market), amount);
    }

    function slashable(address provider) internal view returns (uint256) {
        IEscrow.Bond memory bond = market.bondOf(provider);
        return uint256(bond.staked) + bond.leaving;
    }

    function grantAt(uint256 index) internal pure returns (uint8 offer, address buyer) {
        return (uint8(index % OFFERS), buyerOf(uint8((index / OFFERS) % BUYERS)));
    }

    function book(Ledger storage entry, uint256 buyerHad, uint256 providerHad, string memory call) internal {
        entry.toBuyer += market.balanceOf(entry.request.buyer) - buyerHad;
        entry.toProvider += market.balanceOf(providerOf(entry)) - providerHad;
        if (market.jobOf(entry.jobId).state != IMarket.State.Faulted) ++entry.ends;
        ++reached[call];
    }

    function started(string memory call) internal {
        if (market.paused()) ++startedWhilePaused;
        ++reached[call];
    }

    function had(Ledger storage entry) internal view returns (uint256 buyerHad, uint256 providerHad) {
        return (market.balanceOf(entry.request.buyer), market.balanceOf(providerOf(entry)));
    }

    /// @dev A job in the state that the call needs where one of the last twelve is, else any: most calls should get
    /// through, some should be refused.
    function pick(uint256 which, IMarket.State wanted) internal view returns (Ledger storage) {
        uint256 count = _jobs.length < 12 ? _jobs.length : 12;
        for (uint256 i = 0; i < count && which % 8 != 0; ++i) {
            Ledger storage entry = _jobs[_jobs.length - 1 - ((which % count + i) % count)];
            if (market.jobOf(entry.jobId).state == wanted) return entry;
        }
        return _jobs[which % _jobs.length];
    }

    function addOffer(uint8 index) internal {
        address owner = ownerOf(index);
        IMarket.Offer memory offer;
        vm.prank(owner);
        offer.assetId = _registry.publish(1, bytes32(uint256(index) + 1), "listing");
        (offer.provider, offer.salt) = (owner, bytes32(uint256(index)));
        (offer.maxUses, offer.termDays, offer.validUntil) = (50, uint16(index) * 4, type(uint40).max);
        offer.price = [uint48(20_000_001), 7, 0, type(uint48).max][index];
        offer.failureFeeBps = [uint16(1_000), 2_000, 500, 333][index];
        offer.arbiter = index == 2 ? address(0) : _arbiter;
        offer.verifier = index == 1 ? address(0) : _verifier;
        _offers.push(offer);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ownerKey(index), market.digestOf(offer));
        _signatures.push(abi.encodePacked(r, s, v));
    }

    function receiptDigest(IMarket.Receipt memory receipt) internal view returns (bytes32) {
        bytes32 kind = keccak256(
            "Receipt(bytes32 jobId,bytes32 inputRoot,bytes32 outputDigest,bytes32 keyDigest,bytes32 environmentDigest,uint8 isolation,uint40 startedAt,uint40 finishedAt)"
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Steelyard Market"),
                keccak256("1"),
                block.chainid,
                address(market)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, keccak256(abi.encode(kind, receipt))));
    }

    function providerOf(Ledger storage entry) internal view returns (address) {
        return ownerOf(entry.offer);
    }

    function ownerKey(uint256 index) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("owner", index % OWNERS)));
    }

    function nodeKey(uint256 index) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("node", index % OWNERS)));
    }

    function ownerOf(uint256 index) internal pure returns (address) {
        return vm.addr(ownerKey(index));
    }

    function buyerOf(uint8 index) internal pure returns (address) {
        return vm.addr(uint256(keccak256(abi.encode("buyer", index % BUYERS))));
    }
}
