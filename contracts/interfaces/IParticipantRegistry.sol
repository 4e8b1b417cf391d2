// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The node of each participant, the key that messages to it are sealed to, and who vouches for whom.
interface IParticipantRegistry {
    /// @notice That `issuer` vouched for an account in a role. It counts while the issuer is trusted with the role.
    struct Accreditation {
        address issuer;
        uint40 validUntil; // last second; in the past: revoked
    }

    event NodeSet(
        address indexed participant, address indexed node, bytes32 sealingKey, uint32 epoch, uint8 isolation
    );
    event IssuerSet(bytes32 indexed role, address indexed issuer, bool trusted);
    event AccreditationSet(
        address indexed account, bytes32 indexed role, address indexed issuer, uint40 validUntil
    );

    error ParticipantRegistry_NotIssuer(address caller, bytes32 role);

    /// @notice Sets the caller's node and sealing key. The previous node can sign nothing from now on.
    /// @param node The node's hot address; 0 revokes.
    /// @param sealingKey An X25519 public key; a new one starts a new epoch of the key.
    /// @param isolation Bits: what the node's sandbox reached, as its receipts say. A claim.
    function setNode(address node, bytes32 sealingKey, uint8 isolation) external;

    /// @notice Trusts or distrusts an issuer with a role. The authority's registrar may.
    /// @dev Warning: distrust voids what the issuer gave; trusting it again revives that, where it has not ended. So
    /// after a theft of its key trust a new address only.
    /// @param role SHA-256 of the role's name.
    function setIssuer(bytes32 role, address issuer, bool trusted) external;

    /// @notice A trusted issuer vouches for an account in a role, or takes it back by a `validUntil` in the past. Any
    /// issuer of the role replaces what another said.
    function accredit(address account, bytes32 role, uint40 validUntil) external;

    /// @notice Whether a trusted issuer vouches for the account in the role now.
    function isAccredited(address account, bytes32 role) external view returns (bool);
    function accreditationOf(address account, bytes32 role) external view returns (Accreditation memory);
    function isIssuer(bytes32 role, address issuer) external view returns (bool);

    /// @notice The address that signs receipts for the participant; 0 where none is set.
    function nodeOf(address participant) external view returns (address);

    /// @notice The participant's X25519 public key; 0 where none is set.
    function sealingKeyOf(address participant) external view returns (bytes32);

    /// @notice How many sealing keys the participant has set.
    function epochOf(address participant) external view returns (uint32);

    /// @notice The isolation that the participant's node claims.
    function isolationOf(address participant) external view returns (uint8);
}
