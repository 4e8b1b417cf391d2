// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";

/// @title See IParticipantRegistry, which says what every call does.
contract ParticipantRegistry is AccessManaged, IParticipantRegistry {
    struct Node {
        address account;
        uint32 epoch;
        uint8 isolation;
        bytes32 sealingKey;
    }

    mapping(address participant => Node) private _nodes;
    mapping(address account => mapping(bytes32 role => Accreditation)) private _accreditations;

    /// @inheritdoc IParticipantRegistry
    mapping(bytes32 role => mapping(address issuer => bool)) public isIssuer;

    constructor(address authority_) AccessManaged(authority_) {}

    /// @inheritdoc IParticipantRegistry
    function setNode(address node, bytes32 sealingKey, uint8 isolation) external {
        // Effect:
        Node storage entry = _nodes[msg.sender];
        uint32 epoch = entry.epoch;
        if (sealingKey != entry.sealingKey) {
            entry.sealingKey = sealingKey;
            ++epoch;
        }
        (entry.account, entry.epoch, entry.isolation) = (node, epoch, isolation);
        emit NodeSet(msg.sender, node, sealingKey, epoch, isolation);
    }

    /// @inheritdoc IParticipantRegistry
    function setIssuer(bytes32 role, address issuer, bool trusted) external restricted {
        // Effect:
        isIssuer[role][issuer] = trusted;
        emit IssuerSet(role, issuer, trusted);
    }

    /// @inheritdoc IParticipantRegistry
    function accredit(address account, bytes32 role, uint40 validUntil) external {
        // Check:
        if (!isIssuer[role][msg.sender]) revert ParticipantRegistry_NotIssuer(msg.sender, role);

        // Effect:
        _accreditations[account][role] = Accreditation(msg.sender, validUntil);
        emit AccreditationSet(account, role, msg.sender, validUntil);
    }

    /// @inheritdoc IParticipantRegistry
    function isAccredited(address account, bytes32 role) external view returns (bool) {
        Accreditation memory found = _accreditations[account][role];
        return block.timestamp <= found.validUntil && isIssuer[role][found.issuer];
    }

    /// @inheritdoc IParticipantRegistry
    function accreditationOf(address account, bytes32 role) external view returns (Accreditation memory) {
        return _accreditations[account][role];
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

    /// @inheritdoc IParticipantRegistry
    function isolationOf(address participant) external view returns (uint8) {
        return _nodes[participant].isolation;
    }
}
