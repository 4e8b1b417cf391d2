// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssetRegistry} from "../../contracts/AssetRegistry.sol";
import {Market} from "../../contracts/Market.sol";
import {ParticipantRegistry} from "../../contracts/ParticipantRegistry.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {TestEuro} from "../../contracts/mocks/TestEuro.sol";
import {Check} from "./Check.sol";
import {vm} from "./Vm.sol";

interface IWinder {
    function winding() external view returns (bool);
}

/// @title Plays random trades: two owners, two nodes, three buyers, four offers, gifts, pauses and time.
/// @notice Keeps its own books of what each call moved, for the invariants to compare. Calls may be refused; a call
/// that gets through must move exactly what the books say.
contract Handler {
    struct Ledger {
        bytes32 jobId;
        IMarket.Request request;
        uint8 offer;
        uint48 price;
        uint256 toBuyer;
        uint256 toProvider;
        uint8 ends; // how often an end state was reached
    }

    uint256 private constant OWNERS = 2;
    uint256 private constant BUYERS = 3;
    uint256 private constant OFFERS = 4;
    bytes private constant WRAPPED = hex"c0ffee";

    Market public market;
    TestEuro public euro;
    AssetRegistry private _registry;
    address private _pauser;
    address private _test = msg.sender;

    IMarket.Offer[] private _offers;
    bytes[] private _signatures;
    Ledger[] private _jobs;
    uint256 public paidIn;
    uint256 public gifts;
    uint256 public withdrawn;
    uint256 public claimed;
    uint256 public startedWhilePaused;
    mapping(string => uint256) public reached; // calls that got through, so that no branch is silently dead

    constructor(
        Market market_,
        TestEuro euro_,
        AssetRegistry registry_,
        ParticipantRegistry participants,
        address pauser_
    ) {
        (market, euro, _registry, _pauser) = (market_, euro_, registry_, pauser_);
        for (uint256 i = 0; i < OWNERS; ++i) {
            vm.prank(ownerOf(i));
            participants.setNode(vm.addr(nodeKey(i)), keccak256("sealing key"));
        }
        for (uint8 i = 0; i < OFFERS; ++i) {
            addOffer(i);
        }
    }

    // Calls of the fuzzer

    function buy(uint8 who, uint8 which, uint16 uses) external {
        address buyer = buyerOf(who);
        IMarket.Offer memory offer = _offers[which % OFFERS];
        uses = (uses % 5) + 1;
        uint256 amount = uint256(uses) * offer.price;
        euro.mint(buyer, amount);
        vm.prank(buyer);
        euro.approve(address(market), amount);
        vm.prank(buyer);
        try market.buy(offer, _signatures[which % OFFERS], uses) {
            paidIn += amount;
            started("buy");
        } catch {}
    }

    /// @dev On a grant with unused uses where there is one; one to three jobs.
    function openJobs(uint256 which) external {
        for (uint256 i = 0; i < OFFERS * BUYERS; ++i) {
            (uint8 offer, address buyer) = grantAt(which % 64 + i);
            IMarket.Grant memory grant = market.grantOf(market.digestOf(_offers[offer]), buyer);
            if (grant.jobsPaid == grant.jobsOpened && which % 8 != 0) continue;
            for (uint16 j = 0; j <= which % 3; ++j) {
                openJob(offer, buyer, grant.jobsOpened + j);
            }
            return;
        }
    }

    function submit(uint256 which) external {
        if (_jobs.length == 0) return;
        Ledger storage entry = pick(which, IMarket.State.Open);
        IMarket.Receipt memory receipt =
            IMarket.Receipt(entry.jobId, "input", "output", keccak256(WRAPPED), "environment", 31, 1, 2);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(nodeKey(entry.offer), receiptDigest(receipt));
        try market.submit(receipt, abi.encodePacked(r, s, v), WRAPPED) {
            ++reached["submit"];
        } catch {}
    }

    function accept(uint256 which) external {
        if (_jobs.length == 0) return;
        Ledger storage entry = pick(which, IMarket.State.Submitted);
        (uint256 buyerHad, uint256 providerHad) = had(entry);
        vm.prank(entry.request.buyer);
        try market.accept(entry.request) {
            book(entry, buyerHad, providerHad, "accept");
        } catch {}
    }

    function reject(uint256 which) external {
        if (_jobs.length == 0) return;
        Ledger storage entry = pick(which, IMarket.State.Open);
        (uint256 buyerHad, uint256 providerHad) = had(entry);
        vm.prank(vm.addr(nodeKey(entry.offer)));
        try market.reject(entry.request, "reason") {
            book(entry, buyerHad, providerHad, "reject");
        } catch {}
    }

    function fail(uint256 which, uint8 fault) external {
        if (_jobs.length == 0) return;
        Ledger storage entry = pick(which, IMarket.State.Open);
        (uint256 buyerHad, uint256 providerHad) = had(entry);
        // A policy fault ends a grant for good, so it is drawn less often than the others.
        IMarket.Fault drawn = IMarket.Fault(fault % 8 == 0 ? 2 : fault % 2);
        vm.prank(vm.addr(nodeKey(entry.offer)));
        try market.fail(entry.request, _offers[entry.offer], drawn, "report") {
            book(entry, buyerHad, providerHad, "fail");
        } catch {}
    }

    function expire(uint256 which) external {
        if (_jobs.length == 0) return;
        Ledger storage entry = pick(which, IMarket.State.Open);
        (uint256 buyerHad, uint256 providerHad) = had(entry);
        try market.expire(entry.request) {
            book(entry, buyerHad, providerHad, "expire");
        } catch {}
    }

    /// @dev One job, named up to three times beside an unknown one.
    function finalise(uint256 which, uint8 times) external {
        if (_jobs.length == 0) return;
        Ledger storage entry = pick(which, which % 2 == 0 ? IMarket.State.Submitted : IMarket.State.Faulted);
        (uint256 buyerHad, uint256 providerHad) = had(entry);
        bytes32[] memory jobIds = new bytes32[](uint256(times % 3) + 2);
        for (uint256 i = 1; i < jobIds.length; ++i) {
            jobIds[i] = entry.jobId;
        }
        IMarket.State state = market.jobOf(entry.jobId).state;
        market.finalise(jobIds);
        if (market.jobOf(entry.jobId).state != state) book(entry, buyerHad, providerHad, "finalise");
        else Check.equal(market.balanceOf(providerOf(entry)), providerHad, "a job that was skipped moves nothing");
    }

    function claimUnused(uint8 who, uint8 which) external {
        address buyer = buyerOf(who);
        uint256 buyerHad = market.balanceOf(buyer);
        try market.claimUnused(market.digestOf(_offers[which % OFFERS]), buyer) {
            claimed += market.balanceOf(buyer) - buyerHad;
            ++reached["claimUnused"];
        } catch {}
    }

    function withdraw(uint8 who) external {
        address account = who % 2 == 0 ? buyerOf(who / 2) : ownerOf(who / 2);
        uint256 owed = market.balanceOf(account);
        uint256 wallet = euro.balanceOf(account);
        vm.prank(account);
        try market.withdraw(account) {
            withdrawn += owed;
            Check.equal(euro.balanceOf(account) - wallet, owed, "withdraw pays what was owed");
            ++reached["withdraw"];
        } catch {
            Check.equal(owed, 0, "withdraw is refused only where nothing is owed");
        }
    }

    function gift(uint64 amount) external {
        euro.mint(address(market), amount);
        gifts += amount;
    }

    function setPaused(uint8 draw) external {
        vm.prank(_pauser);
        market.setPaused(draw % 4 == 0);
    }

    function wait(uint32 time) external {
        uint256 most = time % 16 == 0 ? 3 days : time % 3 == 0 ? 6 hours : 10 minutes;
        vm.warp(block.timestamp + (time % most));
    }

    // For the invariants

    function jobCount() external view returns (uint256) {
        return _jobs.length;
    }

    function ledgerOf(uint256 index) external view returns (Ledger memory) {
        return _jobs[index];
    }

    function grants() external view returns (IMarket.Grant[] memory list) {
        list = new IMarket.Grant[](OFFERS * BUYERS);
        for (uint256 i = 0; i < list.length; ++i) {
            (uint8 offer, address buyer) = grantAt(i);
            list[i] = market.grantOf(market.digestOf(_offers[offer]), buyer);
        }
    }

    function credited() public view returns (uint256 sum) {
        for (uint256 i = 0; i < BUYERS; ++i) {
            sum += market.balanceOf(buyerOf(uint8(i)));
        }
        for (uint256 i = 0; i < OWNERS; ++i) {
            sum += market.balanceOf(ownerOf(i));
        }
    }

    /// @dev Ends every job and grant and withdraws everything, paused, past the ledger. Not for the fuzzer, which may
    /// choose the test as its sender.
    function windUp() external {
        if (msg.sender != _test || !IWinder(_test).winding()) return;
        vm.prank(_pauser);
        market.setPaused(true);
        vm.warp(block.timestamp + 400 days);
        for (uint256 i = 0; i < _jobs.length; ++i) {
            try market.expire(_jobs[i].request) {} catch {}
            bytes32[] memory jobIds = new bytes32[](1);
            jobIds[0] = _jobs[i].jobId;
            market.finalise(jobIds);
        }
        for (uint256 i = 0; i < OFFERS * BUYERS; ++i) {
            (uint8 offer, address buyer) = grantAt(i);
            try market.claimUnused(market.digestOf(_offers[offer]), buyer) {} catch {}
        }
        for (uint256 i = 0; i < BUYERS + OWNERS; ++i) {
            address account = i < BUYERS ? buyerOf(uint8(i)) : ownerOf(i - BUYERS);
            if (market.balanceOf(account) == 0) continue;
            vm.prank(account);
            market.withdraw(account);
        }
    }

    // Parts

    function openJob(uint8 offer, address buyer, uint16 index) private {
        bytes32 offerDigest = market.digestOf(_offers[offer]);
        vm.prank(buyer);
        try market.openJob(offerDigest, index, "algorithm", "spec") returns (bytes32 jobId) {
            Ledger storage entry = _jobs.push();
            entry.jobId = jobId;
            entry.request = IMarket.Request(offerDigest, buyer, index, "algorithm", "spec");
            (entry.offer, entry.price) = (offer, _offers[offer].price);
            started("openJob");
        } catch {}
    }

    function grantAt(uint256 index) private pure returns (uint8 offer, address buyer) {
        return (uint8(index % OFFERS), buyerOf(uint8((index / OFFERS) % BUYERS)));
    }

    function book(Ledger storage entry, uint256 buyerHad, uint256 providerHad, string memory call) private {
        entry.toBuyer += market.balanceOf(entry.request.buyer) - buyerHad;
        entry.toProvider += market.balanceOf(providerOf(entry)) - providerHad;
        if (market.jobOf(entry.jobId).state != IMarket.State.Faulted) ++entry.ends;
        ++reached[call];
    }

    function started(string memory call) private {
        if (market.paused()) ++startedWhilePaused;
        ++reached[call];
    }

    function had(Ledger storage entry) private view returns (uint256 buyerHad, uint256 providerHad) {
        return (market.balanceOf(entry.request.buyer), market.balanceOf(providerOf(entry)));
    }

    /// @dev A job in the state that the call needs where one of the last twelve is, else any: most calls should get
    /// through, some should be refused.
    function pick(uint256 which, IMarket.State wanted) private view returns (Ledger storage) {
        uint256 count = _jobs.length < 12 ? _jobs.length : 12;
        for (uint256 i = 0; i < count && which % 8 != 0; ++i) {
            Ledger storage entry = _jobs[_jobs.length - 1 - ((which % count + i) % count)];
            if (market.jobOf(entry.jobId).state == wanted) return entry;
        }
        return _jobs[which % _jobs.length];
    }

    function addOffer(uint8 index) private {
        address owner = ownerOf(index);
        IMarket.Offer memory offer;
        vm.prank(owner);
        offer.assetId = _registry.publish(1, bytes32(uint256(index) + 1), "listing");
        (offer.provider, offer.salt) = (owner, bytes32(uint256(index)));
        (offer.maxUses, offer.termDays, offer.validUntil) = (50, uint16(index) * 4, type(uint40).max);
        offer.price = [uint48(20_000_001), 7, 0, type(uint48).max][index];
        offer.failureFeeBps = [uint16(1_000), 2_000, 500, 333][index];
        _offers.push(offer);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ownerKey(index), market.digestOf(offer));
        _signatures.push(abi.encodePacked(r, s, v));
    }

    function receiptDigest(IMarket.Receipt memory receipt) private view returns (bytes32) {
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

    function providerOf(Ledger storage entry) private view returns (address) {
        return ownerOf(entry.offer);
    }

    function ownerKey(uint256 index) private pure returns (uint256) {
        return uint256(keccak256(abi.encode("owner", index % OWNERS)));
    }

    function nodeKey(uint256 index) private pure returns (uint256) {
        return uint256(keccak256(abi.encode("node", index % OWNERS)));
    }

    function ownerOf(uint256 index) private pure returns (address) {
        return vm.addr(ownerKey(index));
    }

    function buyerOf(uint8 index) private pure returns (address) {
        return vm.addr(uint256(keccak256(abi.encode("buyer", index % BUYERS))));
    }
}
