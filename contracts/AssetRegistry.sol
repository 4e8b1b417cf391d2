// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

import {IAssetRegistry} from "./interfaces/IAssetRegistry.sol";
import {ContentId} from "./libraries/ContentId.sol";

/// @title See IAssetRegistry, which says what every call does.
contract AssetRegistry is ERC721, IAssetRegistry {
    uint8 private constant DATASET = 1;
    uint8 private constant ALGORITHM = 2;
    uint8 private constant MODEL = 3;

    /// @inheritdoc IAssetRegistry
    address public immutable credits;
    /// @inheritdoc IAssetRegistry
    address public immutable pauser;
    /// @inheritdoc IAssetRegistry
    bool public paused;

    mapping(uint256 assetId => bytes32) private _metadata;

    constructor(address credits_, address pauser_) ERC721("Steelyard Asset", "STEEL") {
        credits = credits_;
        pauser = pauser_;
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
    function setPaused(bool paused_) external {
        // Check:
        if (msg.sender != pauser) revert AssetRegistry_NotPauser(msg.sender);

        // Effect:
        paused = paused_;
        emit PausedSet(paused_);
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

    /// @dev No receiver hook: an owner that cannot handle tokens still owns its listing.
    function _publish(uint8 kind, address owner, bytes32 salt, bytes32 metadata) private returns (uint256 assetId) {
        assetId = assetIdOf(kind, owner, salt);
        address previous = _update(owner, assetId, address(0));
        if (previous != address(0)) revert AssetRegistry_AlreadyPublished(assetId);
        _metadata[assetId] = metadata;
        emit AssetPublished(assetId, owner, metadata);
    }
}
