// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Who owns which dataset, algorithm and model, and which document describes it.
/// @notice An ERC-721 token per asset. Its id is `kind << 248 | uint248(keccak256(abi.encode(owner, salt)))`, so it is
/// known before it is published and nobody else can take it.
interface IAssetRegistry {
    event AssetPublished(uint256 indexed assetId, address indexed owner, bytes32 metadata);
    event PausedSet(bool paused);

    error AssetRegistry_Paused();
    error AssetRegistry_NotPauser(address caller);
    error AssetRegistry_NotCredits(address caller);
    error AssetRegistry_WrongKind(uint8 kind);
    error AssetRegistry_AlreadyPublished(uint256 assetId);

    /// @notice Publishes a dataset (kind 1) or an algorithm (kind 2); the caller owns it.
    /// @param salt Any value that the caller has not used for this kind.
    /// @param metadata SHA-256 of the listing, one raw block of the shared store.
    function publish(uint8 kind, bytes32 salt, bytes32 metadata) external returns (uint256 assetId);

    /// @notice Publishes a model (kind 3). Only `credits` may, once the model's job is settled; never paused.
    function publishModel(address owner, bytes32 salt, bytes32 metadata) external returns (uint256 assetId);

    /// @notice Stops or resumes `publish`; nothing else. The pauser may.
    function setPaused(bool paused_) external;

    /// @notice SHA-256 of the asset's listing.
    /// @dev Reverts with ERC721NonexistentToken for an unknown id.
    function metadataOf(uint256 assetId) external view returns (bytes32);

    function assetIdOf(uint8 kind, address owner, bytes32 salt) external pure returns (uint256);

    /// @notice The ContributionCredits contract.
    function credits() external view returns (address);
    function paused() external view returns (bool);
    function pauser() external view returns (address);
}
