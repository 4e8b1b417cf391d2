// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEscrow} from "../../contracts/interfaces/IEscrow.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title Receipts, faults and batches, beyond what the state table walks.
contract JobsTest is Fixture {
    function test_openJobWritesTheJobUnderTheIdOfItsRequest() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(1);
        Check.equal(jobId, keccak256(abi.encode(request)), "jobId");
        Check.equal(jobId, market.jobIdOf(request), "jobIdOf");
        IMarket.Job memory job = market.jobOf(jobId);
        Check.equal(job.until, START + JOB_TIME, "until");
        Check.equal(job.price, PRICE, "price");
        Check.equal(job.receipt, bytes32(0), "receipt");
    }

    function test_submitKeepsTheDigestThatTheNodeSigned() external {
        (bytes32 jobId,) = openFirst(1);
        vm.warp(START + 7);
        submit(jobId);
        Check.equal(market.jobOf(jobId).receipt, receiptDigest(receiptOf(jobId)), "receipt");
        Check.equal(market.jobOf(jobId).until, START + 7 + WINDOW, "until");
    }

    function test_submitRefusesAReceiptOfAStranger() external {
        (bytes32 jobId,) = openFirst(1);
        bytes memory signature = sign(ownerKey, receiptDigest(receiptOf(jobId)));
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_WrongSigner.selector, owner, node));
        market.submit(receiptOf(jobId), signature, WRAPPED);
    }

    function test_submitRefusesThePreviousNodeAtOnce() external {
        (bytes32 jobId,) = openFirst(1);
        bytes memory signature = sign(nodeKey, receiptDigest(receiptOf(jobId)));
        vm.prank(provider);
        participants.setNode(stranger, keccak256("sealing key"), 31);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_WrongSigner.selector, node, stranger));
        market.submit(receiptOf(jobId), signature, WRAPPED);
    }

    function testFuzz_submitRefusesGarbageWhereNoNodeIsSet(bytes calldata signature) external {
        (bytes32 jobId,) = openFirst(1);
        vm.prank(provider);
        participants.setNode(address(0), 0, 0);
        vm.expectPartialRevert(IMarket.Market_WrongSigner.selector);
        market.submit(receiptOf(jobId), signature, WRAPPED);
    }

    function test_submitRefusesAZeroSignatureWhereNoNodeIsSet() external {
        (bytes32 jobId,) = openFirst(1);
        vm.prank(provider);
        participants.setNode(address(0), 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_WrongSigner.selector, address(0), address(0)));
        market.submit(receiptOf(jobId), new bytes(65), WRAPPED);
    }

    function test_submitRefusesAReceiptOfAnotherChainOrMarket() external {
        (bytes32 jobId,) = openFirst(1);
        vm.chainId(1);
        bytes memory signature = sign(nodeKey, receiptDigest(receiptOf(jobId)));
        vm.chainId(31_337);
        vm.expectPartialRevert(IMarket.Market_WrongSigner.selector);
        market.submit(receiptOf(jobId), signature, WRAPPED);
    }

    function testFuzz_submitRefusesAChangedReceipt(uint8 which, uint256 value) external {
        (bytes32 jobId,) = openFirst(1);
        IMarket.Receipt memory receipt = receiptOf(jobId);
        bytes memory signature = sign(nodeKey, receiptDigest(receipt));
        change(receipt, which % 6, value);
        vm.assume(receiptDigest(receipt) != receiptDigest(receiptOf(jobId)));
        vm.expectPartialRevert(IMarket.Market_WrongSigner.selector);
        market.submit(receipt, signature, WRAPPED);
    }

    function testFuzz_submitRefusesAnotherWrappedKey(bytes calldata wrappedKey) external {
        bytes32 digest = keccak256(wrappedKey);
        vm.assume(digest != keccak256(WRAPPED));
        (bytes32 jobId,) = openFirst(1);
        bytes memory signature = sign(nodeKey, receiptDigest(receiptOf(jobId)));
        vm.expectRevert(
            abi.encodeWithSelector(IMarket.Market_WrongKeyDigest.selector, digest, keccak256(WRAPPED))
        );
        market.submit(receiptOf(jobId), signature, wrappedKey);
    }

    function test_aReceiptFitsNoOtherJob() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(2);
        bytes32 other = open(request.offerDigest, 1);
        bytes memory signature = sign(nodeKey, receiptDigest(receiptOf(jobId)));
        vm.expectPartialRevert(IMarket.Market_WrongSigner.selector);
        market.submit(receiptOf(other), signature, WRAPPED);
    }

    function testFuzz_aChangedRequestNamesNoJob(uint8 which, bytes32 value) external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(1);
        submit(jobId);
        if (which % 4 == 0) request.offerDigest = value;
        else if (which % 4 == 1) request.index = uint16(uint256(value));
        else if (which % 4 == 2) request.algorithm = value;
        else request.spec = value;
        bytes32 changed = market.jobIdOf(request);
        vm.assume(changed != jobId);
        vm.expectRevert(
            abi.encodeWithSelector(IMarket.Market_WrongState.selector, changed, IMarket.State.None)
        );
        vm.prank(buyer);
        market.accept(request);
    }

    function test_failRefusesAnotherOffersFee() external {
        (, IMarket.Request memory request) = openFirst(1);
        IMarket.Offer memory dearer = usualOffer();
        dearer.failureFeeBps = 2_000;
        bytes memory reason = abi.encodeWithSelector(
            IMarket.Market_WrongOffer.selector, market.digestOf(dearer), request.offerDigest
        );
        vm.expectRevert(reason);
        vm.prank(node);
        market.fail(request, dearer, IMarket.Fault.Algorithm, 0);
    }

    function testFuzz_feeAndRefundMakeThePrice(uint48 price, uint16 bps, bool policy) external {
        IMarket.Offer memory offer = usualOffer();
        (offer.price, offer.failureFeeBps) = (price, bps % 2_001);
        bytes32 offerDigest = buy(offer, 1);
        bytes32 jobId = open(offerDigest, 0);
        vm.prank(node);
        market.fail(
            requestOf(offerDigest, 0), offer, policy ? IMarket.Fault.Policy : IMarket.Fault.Algorithm, keccak256("r")
        );
        uint256 fee = (uint256(price) * offer.failureFeeBps) / 10_000;
        Check.equal(market.balanceOf(buyer), price - fee, "refund");
        Check.equal(market.balanceOf(provider), 0, "the fee waits for the window");
        Check.equal(market.jobOf(jobId).receipt, keccak256("r"), "report");

        vm.warp(block.timestamp + WINDOW + 1);
        finaliseOne(jobId);
        Check.equal(market.balanceOf(provider), fee, "fee");
    }

    function testFuzz_finaliseCreditsEachJobOnceWhateverTheList(uint256 seed) external {
        bytes32 offerDigest = buy(usualOffer(), 4);
        bytes32[] memory jobs = new bytes32[](5);
        for (uint16 i = 0; i < 4; ++i) {
            jobs[i] = open(offerDigest, i);
        }
        jobs[4] = keccak256("unknown");
        submit(jobs[0]);
        submit(jobs[1]);
        fail(requestOf(offerDigest, 2), IMarket.Fault.Algorithm);
        vm.warp(START + WINDOW + 1); // job 3 is open and stays open

        bytes32[] memory list = new bytes32[](20);
        for (uint256 i = 0; i < list.length; ++i) {
            list[i] = jobs[uint256(keccak256(abi.encode(seed, i))) % 5];
        }
        market.finalise(list);
        market.finalise(jobs);

        Check.equal(market.balanceOf(provider), 2 * uint256(PRICE) + PRICE / 10, "two prices and one fee");
        Check.equal(uint8(market.jobOf(jobs[3]).state), uint8(IMarket.State.Open), "the open job");
        Check.equal(uint8(market.jobOf(jobs[4]).state), uint8(IMarket.State.None), "the unknown job");
        market.finalise(new bytes32[](0));
    }

    function test_withdrawSendsTheWholeBalanceOnce() external {
        settled();
        vm.prank(provider);
        market.withdraw(stranger);
        Check.equal(euro.balanceOf(stranger), PRICE, "sent where the provider said");
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Market_NothingOwed.selector, provider));
        vm.prank(provider);
        market.withdraw(stranger);
    }

    function test_withdrawRefusesRecipientsThatLoseTheMoney() external {
        settled();
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Market_BadRecipient.selector, address(0)));
        vm.prank(provider);
        market.withdraw(address(0));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Market_BadRecipient.selector, address(market)));
        vm.prank(provider);
        market.withdraw(address(market));
    }

    function change(IMarket.Receipt memory receipt, uint8 which, uint256 value) private pure {
        if (which == 0) receipt.inputRoot = bytes32(value);
        else if (which == 1) receipt.outputDigest = bytes32(value);
        else if (which == 2) receipt.environmentDigest = bytes32(value);
        else if (which == 3) receipt.isolation = uint8(value);
        else if (which == 4) receipt.startedAt = uint40(value);
        else receipt.finishedAt = uint40(value);
    }
}
