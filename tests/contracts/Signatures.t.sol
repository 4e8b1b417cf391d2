// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {Check} from "./Check.sol";
import {Fixture} from "./Fixture.sol";
import {Wallet} from "./Wallet.sol";
import {vm} from "./Vm.sol";

/// @title Owners and nodes that are contracts (ERC-1271), and accounts that carry code (EIP-7702).
contract SignaturesTest is Fixture {
    Wallet private wallet;

    function setUp() public override {
        super.setUp();
        wallet = new Wallet(ownerKeyAddress());
    }

    function test_anOfferOfAContractIsSignedAsTheContractSays() external {
        IMarket.Offer memory offer = walletOffer();
        bytes memory signature = sign(ownerKey, market.digestOf(offer));
        fund(buyer, offer.price);
        vm.prank(buyer);
        market.buy(offer, signature, 1);
        Check.equal(market.grantOf(market.digestOf(offer), buyer).jobsPaid, 1, "bought");
    }

    function test_aContractThatRefusesIsNoSigner() external {
        IMarket.Offer memory offer = walletOffer();
        bytes memory signature = sign(nodeKey, market.digestOf(offer));
        refuses(
            offer, signature, abi.encodeWithSelector(IMarket.Market_WrongSigner.selector, node, address(wallet))
        );
        wallet.breakDown();
        bytes memory rightKey = sign(ownerKey, market.digestOf(offer));
        refuses(
            offer, rightKey, abi.encodeWithSelector(IMarket.Market_WrongSigner.selector, owner, address(wallet))
        );
    }

    function test_signaturesOfContractsMayHaveAnyLength() external {
        IMarket.Offer memory offer = walletOffer();
        bytes32 digest = market.digestOf(offer);
        bytes memory long = abi.encodePacked(sign(ownerKey, digest), new bytes(1_000));
        fund(buyer, offer.price);
        vm.prank(buyer);
        market.buy(offer, long, 1);
    }

    function test_aNodeMayBeAContract() external {
        (bytes32 jobId,) = openFirst(1);
        Wallet nodeWallet = new Wallet(node);
        vm.prank(provider);
        participants.setNode(address(nodeWallet), keccak256("sealing key"), 31);
        submit(jobId);
        Check.equal(uint8(market.jobOf(jobId).state), uint8(IMarket.State.Submitted), "state");
    }

    function test_anAccountThatCarriesCodeStillSignsWithItsKey() external {
        IMarket.Offer memory offer = usualOffer();
        bytes memory signature = signed(offer);
        vm.etch(owner, hex"fe"); // as EIP-7702 would, with code that knows no ERC-1271
        fund(buyer, offer.price);
        vm.prank(buyer);
        market.buy(offer, signature, 1);
        Check.equal(market.grantOf(market.digestOf(offer), buyer).jobsPaid, 1, "bought");
    }

    function ownerKeyAddress() private view returns (address) {
        return vm.addr(ownerKey);
    }

    /// @dev The asset and its bond belong to the wallet.
    function walletOffer() private returns (IMarket.Offer memory offer) {
        vm.prank(owner);
        registry.transferFrom(owner, address(wallet), asset);
        bond(address(wallet), MIN_BOND);
        offer = usualOffer();
        offer.provider = address(wallet);
    }
}
