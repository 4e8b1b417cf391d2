// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC2771Forwarder} from "@openzeppelin/contracts/metatx/ERC2771Forwarder.sol";

/// @title Carries calls that their callers signed, so that somebody else can pay the gas.
/// @notice OpenZeppelin's, as it is: who signed a request is the caller to Market and ContributionCredits, whoever
/// sends it. A request names one call, one nonce and a deadline; nothing here can be changed, paused or owned.
contract Forwarder is ERC2771Forwarder {
    constructor() ERC2771Forwarder("Steelyard Forwarder") {}
}
