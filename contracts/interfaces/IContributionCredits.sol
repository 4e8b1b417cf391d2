// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "./IMarket.sol";

/// @title Who contributed to a model, in units that cannot be moved.
interface IContributionCredits {
    event CreditsMinted(uint256 indexed modelId, bytes32 indexed jobId, address indexed account, uint256 units);

    error ContributionCredits_WrongRegistry(address credits, address expected);
    error ContributionCredits_NotBuyer(address got, address expected);
    error ContributionCredits_NotSettled(bytes32 jobId, IMarket.State state);

    /// @notice Publishes the model of a settled job, owned by the job's buyer (the caller), and credits all units to
    /// the job's provider. Once per job: the model's salt is the job's id.
    /// @param metadata SHA-256 of the model's listing, one raw block of the shared store.
    function registerModel(IMarket.Request calldata request, bytes32 metadata) external returns (uint256 modelId);

    /// @notice Units of `account` in the model, out of `totalUnits(modelId)`.
    function unitsOf(uint256 modelId, address account) external view returns (uint256);
    function totalUnits(uint256 modelId) external view returns (uint256);
}
