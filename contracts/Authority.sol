// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";

import {IAssetRegistry} from "./interfaces/IAssetRegistry.sol";
import {IMarket} from "./interfaces/IMarket.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";

/// @title Who may do the four things that are nobody's own: pause, trust issuers, announce a successor, change this.
/// @notice An AccessManager whose roles stand from its first block on; whoever deploys it keeps no power.
/// - governor (role 0): announces a successor and changes roles, each announced `delay` seconds ahead;
/// - pauser (role 1): pauses and resumes at once; exits are never paused;
/// - registrar (role 2): trusts and distrusts issuers of accreditations, announced `delay` seconds ahead.
/// None of them can move money, change a listing, an offer or a job, or judge.
contract Authority is AccessManager {
    uint64 public constant PAUSER = 1;
    uint64 public constant REGISTRAR = 2;

    /// @param market, registry, participants The contracts that obey this one, known before they are deployed.
    constructor(
        address governor,
        address pauser,
        address registrar,
        uint32 delay,
        address market,
        address registry,
        address participants
    ) AccessManager(governor) {
        _grantRole(ADMIN_ROLE, governor, 0, delay);
        _grantRole(PAUSER, pauser, 0, 0);
        _grantRole(REGISTRAR, registrar, 0, delay);
        _setTargetFunctionRole(market, IMarket.setPaused.selector, PAUSER);
        _setTargetFunctionRole(registry, IAssetRegistry.setPaused.selector, PAUSER);
        _setTargetFunctionRole(participants, IParticipantRegistry.setIssuer.selector, REGISTRAR);
    }
}
