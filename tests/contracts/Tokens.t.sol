// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IEscrow} from "../../contracts/interfaces/IEscrow.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {FalseToken, ReentrantToken} from "./HostileTokens.sol";
import {vm} from "./Vm.sol";

/// @title Permits that others use first, and tokens that do not keep their word.
contract TokensTest is Fixture {
    function test_buyWithPermitPaysInOneTransaction() external {
        euro.mint(buyer, PRICE);
        IMarket.Permit memory permit = permitOf(PRICE);
        buyWith(permit);
        Check.equal(held(), PRICE, "held");
        Check.equal(euro.allowance(buyer, address(market)), 0, "allowance");
    }

    function test_aPermitThatSomebodySentFirstDoesNoHarm() external {
        euro.mint(buyer, PRICE);
        IMarket.Permit memory permit = permitOf(PRICE);
        vm.prank(stranger);
        euro.permit(buyer, address(market), permit.value, permit.deadline, permit.v, permit.r, permit.s);
        buyWith(permit);
        Check.equal(held(), PRICE, "held");
    }

    function test_aBadPermitIsRefusedByTheAllowance() external {
        euro.mint(buyer, PRICE);
        IMarket.Permit memory permit = permitOf(PRICE);
        permit.deadline = START - 1;
        bytes memory signature = signed(usualOffer());
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(market), 0, uint256(PRICE)
            )
        );
        vm.prank(buyer);
        market.buyWithPermit(usualOffer(), signature, 1, permit);
    }

    function test_aBadPermitMattersNotWhereAnAllowanceStands() external {
        fund(buyer, PRICE);
        IMarket.Permit memory permit;
        buyWith(permit);
        Check.equal(held(), PRICE, "held");
    }

    function test_aPermitPaysForItsOwnersPurchaseOnly() external {
        euro.mint(buyer, PRICE);
        IMarket.Permit memory permit = permitOf(PRICE);
        bytes memory signature = signed(usualOffer());
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        vm.prank(stranger);
        market.buyWithPermit(usualOffer(), signature, 1, permit);
    }

    function test_buyRefusesATokenThatReturnsFalse() external {
        FalseToken token = new FalseToken();
        useToken(IERC20(address(token)));
        token.lie();
        bytes memory signature = signed(usualOffer());
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
        vm.prank(buyer);
        market.buy(usualOffer(), signature, 1);
        Check.equal(market.grantOf(market.digestOf(usualOffer()), buyer).jobsPaid, 0, "no grant");
    }

    function test_withdrawKeepsTheBalanceWhereTheTokenReturnsFalse() external {
        FalseToken token = new FalseToken();
        useToken(IERC20(address(token)));
        token.mint(buyer, PRICE);
        bytes memory signature = signed(usualOffer());
        vm.startPrank(buyer);
        token.approve(address(market), PRICE);
        market.buy(usualOffer(), signature, 1);
        vm.stopPrank();
        bytes32 offerDigest = market.digestOf(usualOffer());
        vm.warp(START + 40 days);
        market.claimUnused(offerDigest, buyer);

        token.lie();
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
        vm.prank(buyer);
        market.withdraw(buyer);
        Check.equal(market.balanceOf(buyer), PRICE, "still owed");
    }

    function test_aReentrantTokenTakesNothingTwiceOnWithdraw() external {
        (ReentrantToken token, bytes32 jobId) = reentrantTrade();
        IMarket.Request memory request = requestBy(address(token), jobId);
        bytes[] memory calls = new bytes[](4);
        calls[0] = abi.encodeCall(IEscrow.withdraw, (stranger));
        calls[1] = abi.encodeCall(IMarket.expire, (request));
        calls[2] = abi.encodeCall(IMarket.accept, (request));
        calls[3] = abi.encodeCall(IMarket.claimUnused, (request.offerDigest, address(token)));
        vm.warp(START + JOB_TIME + 1);
        market.expire(request);
        token.arm(address(market), calls);

        token.forward(address(market), abi.encodeCall(IEscrow.withdraw, (stranger)));

        Check.equal(token.succeeded(), 0, "calls that got through");
        Check.equal(token.balanceOf(stranger), PRICE, "paid once");
        Check.equal(token.balanceOf(address(market)), PRICE, "the unused use is still held");
    }

    function test_aReentrantTokenOpensOnlyWhatThePurchasePaysFor() external {
        (ReentrantToken token,) = reentrantTrade();
        bytes32 offerDigest = market.digestOf(usualOffer());
        bytes[] memory calls = new bytes[](4);
        for (uint16 i = 0; i < 4; ++i) {
            calls[i] = abi.encodeCall(IMarket.openJob, (offerDigest, i, keccak256("algorithm"), keccak256("spec")));
        }
        token.arm(address(market), calls);
        token.mint(address(token), PRICE);
        bytes memory signature = signed(usualOffer());

        token.forward(address(market), abi.encodeCall(IMarket.buy, (usualOffer(), signature, 1)));

        IMarket.Grant memory grant = market.grantOf(offerDigest, address(token));
        Check.equal(grant.jobsPaid, 3, "jobsPaid");
        Check.equal(grant.jobsOpened, 3, "jobsOpened");
        Check.equal(token.balanceOf(address(market)), 3 * uint256(PRICE), "every opened job is paid");
    }

    /// @dev A Market on a token that is its own buyer: two uses, one job open.
    function reentrantTrade() private returns (ReentrantToken token, bytes32 jobId) {
        token = new ReentrantToken();
        useToken(IERC20(address(token)));
        token.mint(address(token), 2 * uint256(PRICE));
        token.forward(address(token), abi.encodeCall(IERC20.approve, (address(market), type(uint256).max)));
        bytes memory signature = signed(usualOffer());
        token.forward(address(market), abi.encodeCall(IMarket.buy, (usualOffer(), signature, 2)));
        bytes32 offerDigest = market.digestOf(usualOffer());
        vm.prank(address(token));
        jobId = market.openJob(offerDigest, 0, keccak256("algorithm"), keccak256("spec"));
    }

    function requestBy(address account, bytes32 jobId) private view returns (IMarket.Request memory request) {
        request = requestOf(market.digestOf(usualOffer()), 0);
        request.buyer = account;
        Check.equal(market.jobIdOf(request), jobId, "request of the job");
    }

    function useToken(IERC20 token) private {
        minBond = 0; // a bond in a token that lies is another matter
        deploy(token);
        vm.prank(provider);
        participants.setNode(node, keccak256("sealing key"), 31);
        asset = publish("dataset");
    }

    function buyWith(IMarket.Permit memory permit) private {
        bytes memory signature = signed(usualOffer());
        vm.prank(buyer);
        market.buyWithPermit(usualOffer(), signature, 1, permit);
    }

    function permitOf(uint256 value) private view returns (IMarket.Permit memory permit) {
        bytes32 kind =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        (permit.value, permit.deadline) = (value, START + 60);
        bytes32 message =
            keccak256(abi.encode(kind, buyer, address(market), value, euro.nonces(buyer), permit.deadline));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", euro.DOMAIN_SEPARATOR(), message));
        (permit.v, permit.r, permit.s) = vm.sign(buyerKey, digest);
    }
}
