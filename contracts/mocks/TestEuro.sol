// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Play money for development networks: anyone mints.
contract TestEuro is ERC20Permit {
    uint256 private constant DEVELOPMENT_CHAIN = 31_337;

    error TestEuro_NotADevelopmentChain(uint256 chainId);

    constructor() ERC20("Test Euro", "tEUR") ERC20Permit("Test Euro") {
        if (block.chainid != DEVELOPMENT_CHAIN) revert TestEuro_NotADevelopmentChain(block.chainid);
    }

    /// @param amount In millionths of a euro.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @notice Six: a millionth of a euro is the smallest unit.
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
