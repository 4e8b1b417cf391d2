// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC2771Forwarder} from "@openzeppelin/contracts/metatx/ERC2771Forwarder.sol";
import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";

import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title Calls that the buyer signs and a stranger pays the gas of.
contract ForwardedTest is Fixture {
    uint48 private constant DEADLINE = uint48(START + 10 minutes);

    function test_aForwardedTradeIsTheSignersFromPurchaseToModel() external {
        IMarket.Offer memory offer = usualOffer();
        fund(buyer, 2 * uint256(PRICE));
        forward(address(market), abi.encodeCall(market.buy, (offer, signed(offer), 2)));
        bytes32 digest = market.digestOf(offer);
        Check.equal(market.grantOf(digest, buyer).jobsPaid, 2, "uses of the signer");
        Check.equal(market.grantOf(digest, stranger).jobsPaid, 0, "uses of who carried it");
        Check.equal(euro.balanceOf(buyer), 0, "the signer paid");

        forward(
            address(market), abi.encodeCall(market.openJob, (digest, 0, keccak256("algorithm"), keccak256("spec")))
        );
        IMarket.Request memory request = requestOf(digest, 0);
        bytes32 jobId = market.jobIdOf(request);
        submit(jobId);
        forward(address(market), abi.encodeCall(market.accept, (request)));
        Check.equal(uint8(market.jobOf(jobId).state), uint8(IMarket.State.Settled), "state");
        forward(address(credits), abi.encodeCall(credits.registerModel, (request, keccak256("model"))));
        Check.equal(registry.ownerOf(registry.assetIdOf(3, buyer, jobId)), buyer, "owner of the model");
    }

    function test_aForwardedDisputeAndWithdrawalAreTheSigners() external {
        (bytes32 jobId, IMarket.Request memory request) = openFirst(1);
        submit(jobId);
        fund(buyer, CHALLENGE_BOND);
        bytes memory call =
            abi.encodeCall(market.dispute, (request, usualOffer(), IDisputes.Ground.Other, keccak256("evidence")));
        forward(address(market), call);
        Check.equal(market.disputeOf(jobId).buyer, buyer, "who disputes");
        vm.prank(arbiter);
        market.resolve(request, usualOffer(), IDisputes.Ruling.Refund, keccak256("reasons"));
        uint256 owed = market.balanceOf(buyer);
        forward(address(market), abi.encodeCall(market.withdraw, (buyer)));
        Check.equal(euro.balanceOf(buyer), owed, "withdrawn");
    }

    function test_anOfferForOneBuyerHoldsForTheSignerAndNoJudgeBuys() external {
        IMarket.Offer memory offer = usualOffer();
        offer.buyer = stranger; // who carries the request is not who buys
        fund(buyer, PRICE);
        refusesToForward(abi.encodeCall(market.buy, (offer, signed(offer), 1)));
        offer.buyer = address(0);
        offer.arbiter = buyer;
        refusesToForward(abi.encodeCall(market.buy, (offer, signed(offer), 1)));
        offer.arbiter = stranger;
        forward(address(market), abi.encodeCall(market.buy, (offer, signed(offer), 1)));
    }

    function test_aRequestIsCarriedOnceInTimeAndOnlyAsItWasSigned() external {
        fund(buyer, 3 * uint256(PRICE));
        IMarket.Offer memory offer = usualOffer();
        bytes memory call = abi.encodeCall(market.buy, (offer, signed(offer), 1));
        ERC2771Forwarder.ForwardRequestData memory request = requestFor(buyerKey, address(market), call);
        forwarder.execute(request);
        vm.expectPartialRevert(ERC2771Forwarder.ERC2771ForwarderInvalidSigner.selector);
        forwarder.execute(request); // its nonce is used

        request = requestFor(buyerKey, address(market), call);
        request.data = abi.encodeCall(market.buy, (offer, signed(offer), 2));
        vm.expectPartialRevert(ERC2771Forwarder.ERC2771ForwarderInvalidSigner.selector);
        forwarder.execute(request); // other data than was signed

        request = requestFor(nodeKey, address(market), call);
        request.from = buyer;
        vm.expectPartialRevert(ERC2771Forwarder.ERC2771ForwarderInvalidSigner.selector);
        forwarder.execute(request); // another's key

        request = requestFor(buyerKey, address(market), call);
        vm.warp(DEADLINE + 1);
        vm.expectPartialRevert(ERC2771Forwarder.ERC2771ForwarderExpiredRequest.selector);
        forwarder.execute(request);
    }

    function test_onlyTheForwarderIsBelievedAboutWhoCalls() external {
        IMarket.Offer memory offer = usualOffer();
        bytes32 digest = buy(offer, 1);
        bytes memory call =
            abi.encodeCall(market.openJob, (digest, 0, keccak256("algorithm"), keccak256("spec")));
        vm.expectRevert(abi.encodeWithSelector(IMarket.Market_NoUseLeft.selector, digest, stranger, 0));
        vm.prank(stranger);
        (bool done,) = address(market).call(abi.encodePacked(call, buyer)); // as the forwarder would
        Check.isTrue(done, "expectRevert turns the revert round");
        Check.equal(market.grantOf(digest, buyer).jobsOpened, 0, "nothing was opened");
    }

    function test_contractsThatDoNotTrustTheForwarderAreNotReached() external {
        bytes memory call = abi.encodeCall(registry.publish, (1, "x", "listing"));
        ERC2771Forwarder.ForwardRequestData memory request = requestFor(buyerKey, address(registry), call);
        vm.expectPartialRevert(ERC2771Forwarder.ERC2771UntrustfulTarget.selector);
        forwarder.execute(request);
    }

    function forward(address to, bytes memory data) private {
        ERC2771Forwarder.ForwardRequestData memory request = requestFor(buyerKey, to, data);
        vm.prank(stranger);
        forwarder.execute(request);
    }

    function refusesToForward(bytes memory data) private {
        ERC2771Forwarder.ForwardRequestData memory request = requestFor(buyerKey, address(market), data);
        vm.expectRevert(abi.encodeWithSelector(Errors.FailedCall.selector));
        forwarder.execute(request);
    }

    /// @dev EIP-712 written out, apart from the forwarder's own code.
    function requestFor(uint256 key, address to, bytes memory data)
        private
        view
        returns (ERC2771Forwarder.ForwardRequestData memory)
    {
        address from = vm.addr(key);
        bytes32 kind = keccak256(
            "ForwardRequest(address from,address to,uint256 value,uint256 gas,uint256 nonce,uint48 deadline,bytes data)"
        );
        bytes32 structHash = keccak256(
            abi.encode(kind, from, to, 0, 400_000, forwarder.nonces(from), DEADLINE, keccak256(data))
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Steelyard Forwarder"),
                keccak256("1"),
                block.chainid,
                address(forwarder)
            )
        );
        bytes memory signature = sign(key, keccak256(abi.encodePacked(hex"1901", domain, structHash)));
        return ERC2771Forwarder.ForwardRequestData(from, to, 0, 400_000, DEADLINE, data, signature);
    }
}
