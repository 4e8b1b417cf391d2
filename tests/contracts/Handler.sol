// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssetRegistry} from "../../contracts/AssetRegistry.sol";
import {Market} from "../../contracts/Market.sol";
import {ParticipantRegistry} from "../../contracts/ParticipantRegistry.sol";
import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {TestEuro} from "../../contracts/mocks/TestEuro.sol";
import {Books} from "./Books.sol";
import {Check} from "./Check.sol";
import {vm} from "./Vm.sol";

interface IWinder {
    function winding() external view returns (bool);
}

/// @title Plays random trades: two owners with bonds, two nodes, three buyers, an arbiter, a verifier, four offers,
/// gifts, pauses and time.
/// @notice Calls may be refused; a call that gets through must move exactly what the books say.
contract Handler is Books {
    uint256 private constant PEOPLE = BUYERS + OWNERS + 2;

    constructor(
        Market market_,
        TestEuro euro_,
        AssetRegistry registry_,
        ParticipantRegistry participants,
        address pauser_,
        address arbiter_,
        address verifier_
    ) Books(market_, euro_, registry_, participants, pauser_, arbiter_, verifier_) {}

    // Calls of the fuzzer

    function buy(uint8 who, uint8 which, uint16 uses) external {
        address buyer = buyerOf(who);
        IMarket.Offer memory offer = _offers[which % OFFERS];
        uses = (uses % 5) + 1;
        uint256 amount = uint256(uses) * offer.price;
        pay(buyer, amount);
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
        uint256 bond = slashable(providerOf(entry));
        try market.expire(entry.request) {
            entry.slashed += bond - slashable(providerOf(entry));
            book(entry, buyerHad, providerHad, "expire");
        } catch {}
    }

    /// @dev One job, named up to three times beside an unknown one.
    function finalise(uint256 which, uint8 times) external {
        if (_jobs.length == 0) return;
        Ledger storage entry = pick(which, maturing(which));
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

    function dispute(uint256 which, uint8 ground) external {
        if (_jobs.length == 0) return;
        Ledger storage entry = pick(which, which % 3 == 0 ? IMarket.State.Faulted : IMarket.State.Submitted);
        pay(entry.request.buyer, market.challengeBond());
        vm.prank(entry.request.buyer);
        try market.dispute(entry.request, _offers[entry.offer], IDisputes.Ground(ground % 3), "evidence") {
            entry.staked += market.challengeBond();
            ++reached["dispute"];
        } catch {}
    }

    function resolve(uint256 which, uint8 ruling) external {
        if (_jobs.length == 0) return;
        Ledger storage entry = pick(which, IMarket.State.Disputed);
        (uint256 buyerHad, uint256 providerHad) = had(entry);
        uint256 bond = slashable(providerOf(entry));
        bool byArbiter = market.disputeOf(entry.jobId).ground == IDisputes.Ground.Other;
        address judge = byArbiter ? _arbiter : _verifier;
        uint256 judgeHad = market.balanceOf(judge);
        vm.prank(judge);
        try market.resolve(entry.request, _offers[entry.offer], IDisputes.Ruling(ruling % 3), "reasons") {
            entry.slashed += bond - slashable(providerOf(entry));
            entry.toJudge += market.balanceOf(judge) - judgeHad;
            ++rulings;
            book(entry, buyerHad, providerHad, "resolve");
        } catch {}
    }

    function depositBond(uint8 who, uint32 amount) external {
        deposit(ownerOf(who), amount);
        ++reached["depositBond"];
    }

    function startUnbonding(uint8 who, uint48 amount) external {
        uint48 staked = market.bondOf(ownerOf(who)).staked;
        vm.prank(ownerOf(who));
        try market.startUnbonding(amount % 4 == 0 ? amount : staked / (amount % 4 + 2)) {
            ++reached["startUnbonding"];
        } catch {}
    }

    function releaseBond(uint8 who) external {
        uint256 before = market.balanceOf(ownerOf(who));
        try market.releaseBond(ownerOf(who)) {
            released += market.balanceOf(ownerOf(who)) - before;
            ++reached["releaseBond"];
        } catch {}
    }

    function claimUnusedEarly(uint8 who, uint8 which) external {
        address buyer = buyerOf(who);
        uint256 buyerHad = market.balanceOf(buyer);
        vm.prank(buyer);
        try market.claimUnusedEarly(_offers[which % OFFERS]) {
            claimed += market.balanceOf(buyer) - buyerHad;
            ++reached["claimUnusedEarly"];
        } catch {}
    }

    function pauseAsset(uint8 which, bool resumed) external {
        uint256 asset = _offers[which % OFFERS].assetId;
        vm.prank(ownerOf(which));
        if (resumed) _registry.resumeAsset(asset);
        else _registry.pauseAsset(asset);
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
        address account = personAt(who % PEOPLE);
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
        for (uint256 i = 0; i < PEOPLE; ++i) {
            sum += market.balanceOf(personAt(i));
        }
    }

    /// @dev What providers have pledged now, leaving or not.
    function pledged() public view returns (uint256 sum) {
        for (uint256 i = 0; i < OWNERS; ++i) {
            sum += slashable(ownerOf(i));
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
        for (uint256 i = 0; i < OWNERS; ++i) {
            takeBondOut(ownerOf(i));
        }
        for (uint256 i = 0; i < PEOPLE; ++i) {
            address account = personAt(i);
            if (market.balanceOf(account) == 0) continue;
            vm.prank(account);
            market.withdraw(account);
        }
    }

    // Parts

    function takeBondOut(address owner) private {
        uint48 staked = market.bondOf(owner).staked;
        if (staked > 0) {
            vm.prank(owner);
            market.startUnbonding(staked);
        }
        vm.warp(block.timestamp + market.unbondingTime() + 1);
        if (slashable(owner) > 0) market.releaseBond(owner);
    }

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

    function personAt(uint256 index) private view returns (address) {
        if (index < BUYERS) return buyerOf(uint8(index));
        if (index < BUYERS + OWNERS) return ownerOf(index - BUYERS);
        return index == BUYERS + OWNERS ? _arbiter : _verifier;
    }

    function maturing(uint256 which) private pure returns (IMarket.State) {
        if (which % 3 == 0) return IMarket.State.Disputed;
        return which % 3 == 1 ? IMarket.State.Submitted : IMarket.State.Faulted;
    }
}
