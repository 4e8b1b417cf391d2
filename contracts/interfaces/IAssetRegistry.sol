// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";

/// @title Who owns which dataset, algorithm and model, and which document describes it.
/// @notice An ERC-721 token per asset. Its id is `kind << 248 | uint248(keccak256(abi.encode(owner, salt)))`, so it is
/// known before it is published and nobody else can take it.
interface IAssetRegistry is IERC721 {
    /// @notice Whether uses of an asset can be bought. `Retired` is for ever.
    enum Status {
        Active,
        Paused,
        Retired
    }

    event AssetPublished(uint256 indexed assetId, address indexed owner, bytes32 metadata);
    event StatusSet(uint256 indexed assetId, Status status);
    event PausedSet(bool paused);
    event SuccessorAnnounced(address successor);

    error AssetRegistry_Paused();
    error AssetRegistry_NotOwner(uint256 assetId, address caller);
    error AssetRegistry_NotActive(uint256 assetId, Status status);
    error AssetRegistry_NotCredits(address caller);
    error AssetRegistry_WrongKind(uint8 kind);
    error AssetRegistry_AlreadyPublished(uint256 assetId);

    /// @notice Publishes a dataset (kind 1) or an algorithm (kind 2); the caller owns it.
    /// @param salt Any value that the caller has not used for this kind.
    /// @param metadata SHA-256 of the listing, one raw block of the shared store.
    function publish(uint8 kind, bytes32 salt, bytes32 metadata) external returns (uint256 assetId);

    /// @notice Publishes a model (kind 3). Only `credits` may, once the model's job is settled; never paused.
    function publishModel(address owner, bytes32 salt, bytes32 metadata) external returns (uint256 assetId);

    /// @notice Stops sales of the caller's asset. Buyers may take back what they have not used; jobs that are open,
    /// and those that buyers still open on uses they keep, go on.
    function pauseAsset(uint256 assetId) external;

    /// @notice Ends `pauseAsset`.
    function resumeAsset(uint256 assetId) external;

    /// @notice As `pauseAsset`, for ever. The asset stays in the registry, for what was made of it refers to it.
    function retire(uint256 assetId) external;

    /// @notice Stops or resumes `publish`; nothing else. The authority's pauser may.
    function setPaused(bool paused_) external;

    /// @notice Says where the market goes on: another AssetRegistry. Nothing moves by itself. The authority's governor
    /// may.
    function announceSuccessor(address successor_) external;

    /// @notice The owner of an asset whose uses can be bought.
    /// @dev Reverts with ERC721NonexistentToken or AssetRegistry_NotActive.
    function ownerIfActive(uint256 assetId) external view returns (address);

    /// @notice False for unknown, paused and retired assets.
    function isActive(uint256 assetId) external view returns (bool);
    function statusOf(uint256 assetId) external view returns (Status);

    /// @notice SHA-256 of the asset's listing.
    /// @dev Reverts with ERC721NonexistentToken for an unknown id.
    function metadataOf(uint256 assetId) external view returns (bytes32);

    function assetIdOf(uint8 kind, address owner, bytes32 salt) external pure returns (uint256);

    /// @notice The ContributionCredits contract.
    function credits() external view returns (address);
    function paused() external view returns (bool);

    /// @notice The registry that follows this one; 0 while none was announced.
    function successor() external view returns (address);
}
