// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

import {IAssetRegistry} from "./interfaces/IAssetRegistry.sol";
import {ContentId} from "./libraries/ContentId.sol";

/// @title See IAssetRegistry, which says what every call does.
contract AssetRegistry is ERC721, AccessManaged, IAssetRegistry {
    uint8 private constant DATASET = 1;
    uint8 private constant ALGORITHM = 2;
    uint8 private constant MODEL = 3;

    /// @inheritdoc IAssetRegistry
    address public immutable credits;
    /// @inheritdoc IAssetRegistry
    bool public paused;
    /// @inheritdoc IAssetRegistry
    address public successor;
    /// @inheritdoc IAssetRegistry
    mapping(uint256 assetId => Status) public statusOf;

    mapping(uint256 assetId => bytes32) private _metadata;

    constructor(address credits_, address authority_) ERC721("Steelyard Asset", "STEEL") AccessManaged(authority_) {
        credits = credits_;
    }

    /// @inheritdoc IAssetRegistry
    function publish(uint8 kind, bytes32 salt, bytes32 metadata) external returns (uint256 assetId) {
        // Check:
        if (paused) revert AssetRegistry_Paused();
        if (kind != DATASET && kind != ALGORITHM) revert AssetRegistry_WrongKind(kind);

        // Effect:
        assetId = _publish(kind, msg.sender, salt, metadata);
    }

    /// @inheritdoc IAssetRegistry
    function publishModel(address owner, bytes32 salt, bytes32 metadata) external returns (uint256 assetId) {
        // Check:
        if (msg.sender != credits) revert AssetRegistry_NotCredits(msg.sender);

        // Effect:
        assetId = _publish(MODEL, owner, salt, metadata);
    }

    /// @inheritdoc IAssetRegistry
    function pauseAsset(uint256 assetId) external {
        _setStatus(assetId, Status.Paused);
    }

    /// @inheritdoc IAssetRegistry
    function resumeAsset(uint256 assetId) external {
        _setStatus(assetId, Status.Active);
    }

    /// @inheritdoc IAssetRegistry
    function retire(uint256 assetId) external {
        _setStatus(assetId, Status.Retired);
    }

    /// @inheritdoc IAssetRegistry
    function setPaused(bool paused_) external restricted {
        // Effect:
        paused = paused_;
        emit PausedSet(paused_);
    }

    /// @inheritdoc IAssetRegistry
    function announceSuccessor(address successor_) external restricted {
        // Effect:
        successor = successor_;
        emit SuccessorAnnounced(successor_);
    }

    /// @inheritdoc IAssetRegistry
    function ownerIfActive(uint256 assetId) external view returns (address) {
        if (statusOf[assetId] != Status.Active) revert AssetRegistry_NotActive(assetId, statusOf[assetId]);
        return ownerOf(assetId);
    }

    /// @inheritdoc IAssetRegistry
    function isActive(uint256 assetId) external view returns (bool) {
        return _ownerOf(assetId) != address(0) && statusOf[assetId] == Status.Active;
    }

    /// @inheritdoc IAssetRegistry
    function metadataOf(uint256 assetId) public view returns (bytes32) {
        _requireOwned(assetId);
        return _metadata[assetId];
    }

    /// @notice `ipfs://` and the CIDv1 of the listing.
    function tokenURI(uint256 assetId) public view override returns (string memory) {
        return string.concat("ipfs://", ContentId.toText(metadataOf(assetId)));
    }

    /// @inheritdoc IAssetRegistry
    function assetIdOf(uint8 kind, address owner, bytes32 salt) public pure returns (uint256) {
        return (uint256(kind) << 248) | uint248(uint256(keccak256(abi.encode(owner, salt))));
    }

    function _setStatus(uint256 assetId, Status status) private {
        // Check:
        if (msg.sender != ownerOf(assetId)) revert AssetRegistry_NotOwner(assetId, msg.sender);
        if (statusOf[assetId] == Status.Retired) revert AssetRegistry_NotActive(assetId, Status.Retired);

        // Effect:
        statusOf[assetId] = status;
        emit StatusSet(assetId, status);
    }

    /// @dev No receiver hook: an owner that cannot handle tokens still owns its listing.
    function _publish(uint8 kind, address owner, bytes32 salt, bytes32 metadata) private returns (uint256 assetId) {
        assetId = assetIdOf(kind, owner, salt);
        address previous = _update(owner, assetId, address(0));
        if (previous != address(0)) revert AssetRegistry_AlreadyPublished(assetId);
        _metadata[assetId] = metadata;
        emit AssetPublished(assetId, owner, metadata);
    }
}
