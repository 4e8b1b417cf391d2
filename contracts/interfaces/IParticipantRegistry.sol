// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The node of each participant and the key that messages to it are sealed to.
interface IParticipantRegistry {
    event NodeSet(address indexed participant, address indexed node, bytes32 sealingKey, uint32 epoch);

    /// @notice Sets the caller's node and sealing key. The previous node can sign nothing from now on.
    /// @param node The node's hot address; 0 revokes.
    /// @param sealingKey An X25519 public key; a new one starts a new epoch of the key.
    function setNode(address node, bytes32 sealingKey) external;

    /// @notice The address that signs receipts for the participant; 0 where none is set.
    function nodeOf(address participant) external view returns (address);

    /// @notice The participant's X25519 public key; 0 where none is set.
    function sealingKeyOf(address participant) external view returns (bytes32);

    /// @notice How many sealing keys the participant has set.
    function epochOf(address participant) external view returns (uint32);
}
