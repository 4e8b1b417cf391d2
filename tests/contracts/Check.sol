// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Assertions that say what differs.
library Check {
    error Check_NotEqual(string what, uint256 got, uint256 expected);
    error Check_NotEqualText(string what, string got, string expected);
    error Check_False(string what);

    function equal(uint256 got, uint256 expected, string memory what) internal pure {
        if (got != expected) revert Check_NotEqual(what, got, expected);
    }

    function equal(address got, address expected, string memory what) internal pure {
        equal(uint160(got), uint160(expected), what);
    }

    function equal(bytes32 got, bytes32 expected, string memory what) internal pure {
        equal(uint256(got), uint256(expected), what);
    }

    function equal(string memory got, string memory expected, string memory what) internal pure {
        if (!same(got, expected)) revert Check_NotEqualText(what, got, expected);
    }

    function isTrue(bool condition, string memory what) internal pure {
        if (!condition) revert Check_False(what);
    }

    function same(string memory one, string memory other) internal pure returns (bool) {
        return keccak256(bytes(one)) == keccak256(bytes(other));
    }
}
