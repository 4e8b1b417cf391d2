// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title Walks tests/vectors/states.json: every state, action, role and lateness.
contract StateTableTest is Fixture {
    /// @dev Members in the order of their names, as the runner encodes JSON objects.
    struct Row {
        string action;
        string buyer;
        string failure;
        string grant;
        string judge;
        bool late;
        string provider;
        string result;
        string role;
        string state;
    }

    uint48 private constant FEE = 2_000_000; // a tenth of PRICE, rounded down
    uint48 private constant STAKE = CHALLENGE_BOND - JUDGE_FEE; // what is left of it once the judge is paid
    string[11] private names = [
        "None", "Open", "Submitted", "Settled", "Rejected", "Faulted", "Failed", "Expired", "Disputed", "Refunded", "Split"
    ];
    bool private pauseAfterOpening;

    function test_everyRowOfTheTableHolds() external {
        walk();
    }

    function test_everyRowOfTheTableHoldsWhilePaused() external {
        // Invariant: a pause stops only buy, openJob and publish.
        vm.prank(pauser);
        registry.setPaused(true);
        pauseAfterOpening = true;
        walk();
    }

    function walk() private {
        Row[] memory rows = abi.decode(vm.parseJson(vm.readFile("tests/vectors/states.json")), (Row[]));
        Check.equal(rows.length, 1_440, "rows: 12 states x 12 actions x 5 roles x 2");
        bytes32 offerDigest = buy(usualOffer(), 2);
        for (uint256 i = 0; i < rows.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            checkRow(rows[i], offerDigest);
            vm.revertToState(snapshot);
        }
    }

    function checkRow(Row memory row, bytes32 offerDigest) private {
        IMarket.Request memory request = requestOf(offerDigest, 0);
        bytes32 jobId = market.jobIdOf(request);
        reach(row.state, request);
        string memory what = string.concat(row.state, " ", row.action, " ", row.role, row.late ? " late" : "");
        Check.equal(stateOf(jobId), row.state, what);
        fund(buyer, CHALLENGE_BOND); // for those who dispute
        // `until` of a job that does not exist is 0: it is always late.
        if (row.late) vm.warp(uint256(market.jobOf(jobId).until) + 1 + (market.jobOf(jobId).until == 0 ? START : 0));
        else if (market.jobOf(jobId).until != 0) vm.warp(market.jobOf(jobId).until);
        uint256 buyerBefore = market.balanceOf(buyer);
        uint256 providerBefore = market.balanceOf(provider);
        uint256 judgeBefore = market.balanceOf(arbiter);

        (bool done, bytes memory answer) = act(row, request, jobId);

        if (!done) {
            Check.equal(row.result, "revert", what);
            Check.equal(bytes32(bytes4(answer)), bytes32(selectorOf(row.failure)), string.concat(what, ": error"));
        } else {
            Check.equal(stateOf(jobId), row.result, what);
        }
        Check.equal(market.balanceOf(buyer) - buyerBefore, amountOf(row.buyer), string.concat(what, ": buyer"));
        Check.equal(
            market.balanceOf(provider) - providerBefore, amountOf(row.provider), string.concat(what, ": provider")
        );
        Check.equal(market.balanceOf(arbiter) - judgeBefore, amountOf(row.judge), string.concat(what, ": judge"));
        bool ended = market.grantOf(offerDigest, buyer).lastDay == 0;
        Check.equal(ended ? "ended" : "kept", row.grant, string.concat(what, ": grant"));
    }

    function reach(string memory state, IMarket.Request memory request) private {
        if (!Check.same(state, "None")) {
            bytes32 jobId = open(request.offerDigest, 0);
            if (isAbout(state, ["Submitted", "Settled", "Disputed", "Refunded", "Split"])) submit(jobId);
            if (Check.same(state, "Rejected")) {
                vm.prank(node);
                market.reject(request, 0);
            }
            if (isAbout(state, ["Faulted", "DisputedFault", "", "", ""])) fail(request, IMarket.Fault.Algorithm);
            if (isAbout(state, ["Disputed", "DisputedFault", "Refunded", "Split", ""])) {
                dispute(request, IDisputes.Ground.Other);
            }
            if (isAbout(state, ["Refunded", "Split", "", "", ""])) {
                vm.prank(arbiter);
                market.resolve(request, usualOffer(), IDisputes.Ruling(Check.same(state, "Split") ? 2 : 1), 0);
            }
            if (Check.same(state, "Failed")) fail(request, IMarket.Fault.Node);
            if (Check.same(state, "Settled")) {
                vm.prank(buyer);
                market.accept(request);
            }
            if (Check.same(state, "Expired")) {
                vm.warp(START + JOB_TIME + 1);
                market.expire(request);
            }
        }
        if (pauseAfterOpening) {
            vm.prank(pauser);
            market.setPaused(true);
        }
    }

    /// @dev A dispute about a fault's fee is a row of its own: it ends otherwise than one about a receipt.
    function stateOf(bytes32 jobId) private view returns (string memory) {
        if (market.jobOf(jobId).state != IMarket.State.Disputed) return names[uint8(market.jobOf(jobId).state)];
        return market.disputeOf(jobId).faulted ? "DisputedFault" : "Disputed";
    }

    function isAbout(string memory state, string[5] memory some) private pure returns (bool) {
        for (uint256 i = 0; i < some.length; ++i) {
            if (Check.same(state, some[i])) return true;
        }
        return false;
    }

    function act(Row memory row, IMarket.Request memory request, bytes32 jobId)
        private
        returns (bool done, bytes memory answer)
    {
        bytes memory call = callOf(row.action, request, jobId);
        vm.prank(personOf(row.role));
        (done, answer) = address(market).call(call);
    }

    function callOf(string memory action, IMarket.Request memory request, bytes32 jobId)
        private
        view
        returns (bytes memory)
    {
        if (Check.same(action, "submit")) {
            IMarket.Receipt memory receipt = receiptOf(jobId);
            bytes memory signature = sign(nodeKey, receiptDigest(receipt));
            return abi.encodeCall(IMarket.submit, (receipt, signature, WRAPPED));
        }
        if (Check.same(action, "accept")) return abi.encodeCall(IMarket.accept, (request));
        if (Check.same(action, "reject")) return abi.encodeCall(IMarket.reject, (request, keccak256("reason")));
        if (Check.same(action, "expire")) return abi.encodeCall(IMarket.expire, (request));
        if (Check.same(action, "dispute")) {
            return abi.encodeCall(IDisputes.dispute, (request, usualOffer(), IDisputes.Ground.Other, "evidence"));
        }
        if (Check.same(action, "resolve_pay")) return ruling(request, IDisputes.Ruling.Pay);
        if (Check.same(action, "resolve_refund")) return ruling(request, IDisputes.Ruling.Refund);
        if (Check.same(action, "resolve_split")) return ruling(request, IDisputes.Ruling.Split);
        if (Check.same(action, "finalise")) {
            bytes32[] memory jobIds = new bytes32[](1);
            jobIds[0] = jobId;
            return abi.encodeCall(IMarket.finalise, (jobIds));
        }
        IMarket.Fault fault = IMarket.Fault.Policy;
        if (Check.same(action, "fail_node")) fault = IMarket.Fault.Node;
        else if (Check.same(action, "fail_algorithm")) fault = IMarket.Fault.Algorithm;
        else Check.equal(action, "fail_policy", "an action of the table");
        return abi.encodeCall(IMarket.fail, (request, usualOffer(), fault, keccak256("report")));
    }

    function ruling(IMarket.Request memory request, IDisputes.Ruling drawn) private view returns (bytes memory) {
        return abi.encodeCall(IDisputes.resolve, (request, usualOffer(), drawn, "reasons"));
    }

    function personOf(string memory role) private view returns (address) {
        if (Check.same(role, "buyer")) return buyer;
        if (Check.same(role, "node")) return node;
        if (Check.same(role, "provider")) return provider;
        if (Check.same(role, "judge")) return arbiter;
        Check.equal(role, "stranger", "a role of the table");
        return stranger;
    }

    function amountOf(string memory amount) private pure returns (uint256) {
        if (Check.same(amount, "none")) return 0;
        if (Check.same(amount, "price")) return PRICE;
        if (Check.same(amount, "fee")) return FEE;
        if (Check.same(amount, "price+penalty")) return PRICE + PENALTY;
        if (Check.same(amount, "challenge-bond")) return CHALLENGE_BOND;
        if (Check.same(amount, "judge-fee")) return JUDGE_FEE;
        if (Check.same(amount, "price+stake")) return PRICE + STAKE;
        if (Check.same(amount, "fee+stake")) return FEE + STAKE;
        if (Check.same(amount, "2*price+challenge-bond")) return 2 * PRICE + CHALLENGE_BOND;
        if (Check.same(amount, "2*fee+challenge-bond")) return 2 * FEE + CHALLENGE_BOND;
        if (Check.same(amount, "price/2")) return PRICE / 2;
        if (Check.same(amount, "fee/2")) return FEE / 2;
        if (Check.same(amount, "price-half+stake")) return PRICE - PRICE / 2 + STAKE;
        if (Check.same(amount, "fee-half+stake")) return FEE - FEE / 2 + STAKE;
        Check.equal(amount, "price-fee", "an amount of the table");
        return PRICE - FEE;
    }

    function selectorOf(string memory name) private pure returns (bytes4) {
        if (Check.same(name, "Market_WrongState")) return IMarket.Market_WrongState.selector;
        if (Check.same(name, "Market_WrongBuyer")) return IMarket.Market_WrongBuyer.selector;
        if (Check.same(name, "Market_WrongNode")) return IMarket.Market_WrongNode.selector;
        if (Check.same(name, "Market_WrongJudge")) return IDisputes.Market_WrongJudge.selector;
        if (Check.same(name, "Market_TooLate")) return IMarket.Market_TooLate.selector;
        Check.equal(name, "Market_TooEarly", "an error of the table");
        return IMarket.Market_TooEarly.selector;
    }
}
