// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title A wallet that is a contract: it says yes to what its one key signed, whatever follows the 65 bytes.
contract Wallet is IERC1271 {
    address private immutable _key;
    bool private _broken;

    constructor(address key) {
        _key = key;
    }

    function breakDown() external {
        _broken = true;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        require(!_broken);
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature[:65]);
        return signer == _key ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}
