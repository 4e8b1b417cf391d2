// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IMarket} from "../interfaces/IMarket.sol";

/// @title Who signed a digest: a key, or a contract that says so (ERC-1271).
library Signatures {
    /// @dev The key first: an account that carries code by EIP-7702 is still an account. A malformed or malleable
    /// signature recovers to 0, which must not pass for a signer that is not set.
    function requireBy(address expected, bytes32 digest, bytes calldata signature) internal view {
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (signer == expected && signer != address(0)) return;
        if (expected.code.length != 0) {
            if (SignatureChecker.isValidERC1271SignatureNowCalldata(expected, digest, signature)) return;
        }
        revert IMarket.Market_WrongSigner(signer, expected);
    }
}
