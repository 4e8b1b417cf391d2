// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Text of the content id of one raw block.
library ContentId {
    bytes32 private constant ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

    /// @notice CIDv1, codec raw, SHA2-256, in multibase base32 (59 characters, `bafkrei...`).
    /// @param digest SHA-256 of the block.
    function toText(bytes32 digest) internal pure returns (string memory) {
        // version 1, codec 0x55 (raw), hash 0x12 (sha2-256), length 0x20
        bytes memory source = abi.encodePacked(hex"01551220", digest);
        bytes memory text = new bytes(59);
        text[0] = "b";
        uint256 buffer;
        uint256 bits;
        uint256 written = 1;
        for (uint256 i = 0; i < source.length; ++i) {
            buffer = (buffer << 8) | uint8(source[i]);
            bits += 8;
            while (bits >= 5) {
                bits -= 5;
                text[written++] = ALPHABET[(buffer >> bits) & 31];
            }
        }
        // 36 bytes are 57 groups of 5 bits and 3 bits, which are padded with zeros.
        text[written] = ALPHABET[(buffer << 2) & 31];
        return string(text);
    }
}
