// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssetRegistry} from "../../contracts/interfaces/IAssetRegistry.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {Handler} from "./Handler.sol";
import {vm} from "./Vm.sol";

/// @title The invariants of contracts/README.md, under their names.
contract InvariantsTest is Fixture {
    Handler private handler;

    /// @notice True only while this contract itself winds up: the fuzzer may call the handler in this contract's name.
    bool public winding;

    function setUp() public override {
        super.setUp();
        handler = new Handler(market, euro, registry, participants, pauser, arbiter, verifier);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_heldIsAtLeastOwed() external view {
        uint256 owed = handler.credited() + inJobs() + inGrants() + handler.pledged();
        Check.isTrue(held() >= owed, "held >= owed");
        Check.equal(held() - owed, handler.gifts(), "held - owed = gifts");
    }

    function invariant_creditsOfAJobNeverExceedItsPriceStakeAndSlashAndEqualThemAtTheEnd() external view {
        for (uint256 i = 0; i < handler.jobCount(); ++i) {
            Handler.Ledger memory entry = handler.ledgerOf(i);
            uint256 paidOut = entry.toBuyer + entry.toProvider + entry.toJudge;
            uint256 most = uint256(entry.price) + entry.staked + entry.slashed;
            Check.isTrue(paidOut <= most, "credits <= price + stake + slash");
            if (isEnd(market.jobOf(entry.jobId).state)) Check.equal(paidOut, most, "credits at the end");
        }
    }

    function invariant_aSlashNeverExceedsTheJobsPriceAndWhatItsJudgeGot() external view {
        for (uint256 i = 0; i < handler.jobCount(); ++i) {
            Handler.Ledger memory entry = handler.ledgerOf(i);
            Check.isTrue(entry.slashed <= entry.price + entry.toJudge, "slash <= price + fee");
        }
    }

    function invariant_aBondIsHeldSlashedForAJobOrGivenBack() external view {
        uint256 slashed;
        for (uint256 i = 0; i < handler.jobCount(); ++i) {
            slashed += handler.ledgerOf(i).slashed;
        }
        Check.equal(handler.bonded(), handler.pledged() + slashed + handler.released(), "bonds");
    }

    function invariant_aJudgeGetsTheSameFeeWhateverItRules() external view {
        uint256 fees;
        for (uint256 i = 0; i < handler.jobCount(); ++i) {
            fees += handler.ledgerOf(i).toJudge;
        }
        Check.equal(fees, handler.rulings() * market.judgeFee(), "a fee a ruling");
    }

    function invariant_noJobIsCreditedTwice() external view {
        uint256 byJobs = handler.claimed() + handler.released();
        for (uint256 i = 0; i < handler.jobCount(); ++i) {
            Handler.Ledger memory entry = handler.ledgerOf(i);
            Check.equal(entry.ends, isEnd(market.jobOf(entry.jobId).state) ? 1 : 0, "a job ends once");
            byJobs += entry.toBuyer + entry.toProvider + entry.toJudge;
        }
        Check.equal(handler.credited() + handler.withdrawn(), byJobs, "credits ever given = sum over jobs, claims and bonds");
    }

    function invariant_jobsOpenedNeverExceedJobsPaid() external view {
        IMarket.Grant[] memory grants = handler.grants();
        for (uint256 i = 0; i < grants.length; ++i) {
            Check.isTrue(grants[i].jobsOpened <= grants[i].jobsPaid, "jobsOpened <= jobsPaid");
        }
    }

    function invariant_everyPathOfMoneyEndsAtItsOwner() external {
        uint256 snapshot = vm.snapshotState();
        uint256 before = handler.withdrawn();
        windUp();
        Check.equal(held(), handler.gifts(), "only gifts stay");
        Check.equal(handler.credited(), 0, "nothing is owed");
        for (uint256 i = 0; i < handler.jobCount(); ++i) {
            Check.isTrue(isEnd(market.jobOf(handler.ledgerOf(i).jobId).state), "every job has ended");
        }
        Check.isTrue(before <= handler.paidIn() + handler.bonded() + stakes(), "nobody took more than was paid in");
        vm.revertToState(snapshot);
    }

    function invariant_aPauseStopsOnlyBuyOpenJobAndPublish() external {
        Check.equal(handler.startedWhilePaused(), 0, "nothing started while paused");
        uint256 snapshot = vm.snapshotState();
        vm.startPrank(pauser);
        market.setPaused(true);
        registry.setPaused(true);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.AssetRegistry_Paused.selector));
        registry.publish(1, "salt", "metadata");
        vm.prank(owner);
        market.raiseEpoch(asset);
        participants.setNode(address(this), "key", 0);
        windUp();
        vm.revertToState(snapshot);
    }

    function windUp() private {
        winding = true;
        handler.windUp();
        winding = false;
    }

    /// @dev The fuzzer once did, and ended jobs that the ledger of the handler still held open.
    function test_aCallInTheTestsNameDoesNotWindUp() external {
        handler.windUp();
        Check.isTrue(!market.paused(), "windUp pauses first, so it did nothing");
    }

    /// @dev An invariant that is fuzzed over calls which are all refused would say nothing.
    function test_theHandlerReachesEveryCall() external {
        for (uint256 i = 0; i < 1_500; ++i) {
            play(uint256(keccak256(abi.encode(i))));
        }
        string[16] memory calls = [
            "buy", "openJob", "submit", "accept", "reject", "fail", "expire", "finalise", "claimUnused", "withdraw",
            "dispute", "resolve", "depositBond", "startUnbonding", "releaseBond", "claimUnusedEarly"
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            Check.isTrue(handler.reached(calls[i]) > 0, calls[i]);
        }
        windUp();
        Check.equal(held(), handler.gifts(), "only gifts stay");
    }

    function play(uint256 seed) private {
        (uint8 a, uint8 b) = (uint8(seed >> 16), uint8(seed >> 24));
        uint256 call = seed % 24;
        if (call == 0) handler.buy(a, b, uint16(seed >> 32));
        else if (call <= 2) handler.openJobs(a);
        else if (call == 3) handler.submit(a);
        else if (call == 4) handler.accept(a);
        else if (call == 5) handler.reject(a);
        else if (call == 6) handler.fail(a, b);
        else if (call == 7) handler.expire(a);
        else if (call == 8) handler.finalise(a, b);
        else if (call == 9) handler.claimUnused(a, b);
        else if (call == 10) handler.withdraw(a);
        else if (call == 11) handler.setPaused(a);
        else if (call <= 13) handler.dispute(a, b);
        else if (call <= 15) handler.resolve(a, b);
        else if (call == 16) handler.depositBond(a, uint32(seed >> 40));
        else if (call == 17) handler.startUnbonding(a, uint48(seed >> 40));
        else if (call == 18) handler.releaseBond(a);
        else if (call == 19) handler.claimUnusedEarly(a, b);
        else if (call == 20) handler.pauseAsset(a, b % 2 == 0);
        else handler.wait(uint32(seed >> 40));
    }

    function inJobs() private view returns (uint256 sum) {
        for (uint256 i = 0; i < handler.jobCount(); ++i) {
            IMarket.Job memory job = market.jobOf(handler.ledgerOf(i).jobId);
            if (!isEnd(job.state)) sum += job.price;
            if (job.state == IMarket.State.Disputed) sum += market.challengeBond();
        }
    }

    function stakes() private view returns (uint256 sum) {
        for (uint256 i = 0; i < handler.jobCount(); ++i) {
            sum += handler.ledgerOf(i).staked;
        }
    }

    function inGrants() private view returns (uint256 sum) {
        IMarket.Grant[] memory grants = handler.grants();
        for (uint256 i = 0; i < grants.length; ++i) {
            sum += uint256(grants[i].jobsPaid - grants[i].jobsOpened) * grants[i].price;
        }
    }

    function isEnd(IMarket.State state) private pure returns (bool) {
        return state == IMarket.State.Settled || state == IMarket.State.Rejected || state == IMarket.State.Failed
            || state == IMarket.State.Expired || state == IMarket.State.Refunded || state == IMarket.State.Split;
    }
}
