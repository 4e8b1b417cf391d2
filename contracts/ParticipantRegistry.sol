// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";

/// @title See IParticipantRegistry, which says what every call does.
contract ParticipantRegistry is IParticipantRegistry {
    struct Node {
        address account;
        uint32 epoch;
        bytes32 sealingKey;
    }

    mapping(address participant => Node) private _nodes;

    /// @inheritdoc IParticipantRegistry
    function setNode(address node, bytes32 sealingKey) external {
        // Effect:
        Node storage entry = _nodes[msg.sender];
        uint32 epoch = entry.epoch;
        if (sealingKey != entry.sealingKey) {
            entry.sealingKey = sealingKey;
            entry.epoch = ++epoch;
        }
        entry.account = node;
        emit NodeSet(msg.sender, node, sealingKey, epoch);
    }

    /// @inheritdoc IParticipantRegistry
    function nodeOf(address participant) external view returns (address) {
        return _nodes[participant].account;
    }

    /// @inheritdoc IParticipantRegistry
    function sealingKeyOf(address participant) external view returns (bytes32) {
        return _nodes[participant].sealingKey;
    }

    /// @inheritdoc IParticipantRegistry
    function epochOf(address participant) external view returns (uint32) {
        return _nodes[participant].epoch;
    }
}
