// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";

import {IAssetRegistry} from "./interfaces/IAssetRegistry.sol";
import {IContributionCredits} from "./interfaces/IContributionCredits.sol";
import {IMarket} from "./interfaces/IMarket.sol";

/// @title See IContributionCredits, which says what every call does.
contract ContributionCredits is ERC2771Context, IContributionCredits {
    uint256 private constant UNITS = 1_000_000;

    IMarket public immutable market;
    IAssetRegistry public immutable registry;

    /// @inheritdoc IContributionCredits
    mapping(uint256 modelId => mapping(address account => uint256)) public unitsOf;
    /// @inheritdoc IContributionCredits
    mapping(uint256 modelId => uint256) public totalUnits;

    constructor(IMarket market_, IAssetRegistry registry_, address forwarder) ERC2771Context(forwarder) {
        // Check: the registry was deployed for this address, else no model could ever be registered.
        address expected = registry_.credits();
        if (expected != address(this)) revert ContributionCredits_WrongRegistry(address(this), expected);

        // Effect:
        market = market_;
        registry = registry_;
    }

    /// @inheritdoc IContributionCredits
    function registerModel(IMarket.Request calldata request, bytes32 metadata) external returns (uint256 modelId) {
        // Check:
        address caller = _msgSender();
        if (caller != request.buyer) revert ContributionCredits_NotBuyer(caller, request.buyer);
        bytes32 jobId = market.jobIdOf(request);
        IMarket.Job memory job = market.jobOf(jobId);
        if (job.state != IMarket.State.Settled) revert ContributionCredits_NotSettled(jobId, job.state);

        // Interaction: with our own registry, which refuses a second model of the same job.
        modelId = registry.publishModel(request.buyer, jobId, metadata);

        // Effect:
        unitsOf[modelId][job.provider] = UNITS;
        totalUnits[modelId] = UNITS;
        emit CreditsMinted(modelId, jobId, job.provider, UNITS);
    }
}
