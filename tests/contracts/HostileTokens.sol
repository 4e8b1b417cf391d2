// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title Honest until told otherwise; then it returns false instead of reverting, and moves nothing.
contract FalseToken is ERC20("False", "FALSE") {
    bool private _lies;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function lie() external {
        _lies = true;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return !_lies && super.transferFrom(from, to, amount);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return !_lies && super.transfer(to, amount);
    }
}

/// @title Calls back into whatever it was told to, in the middle of each transfer.
contract ReentrantToken is ERC20("Reentrant", "AGAIN") {
    address private _target;
    bytes[] private _calls;
    bool private _inside;
    uint256 public succeeded;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function arm(address target, bytes[] calldata calls) external {
        _target = target;
        delete _calls;
        for (uint256 i = 0; i < calls.length; ++i) {
            _calls.push(calls[i]);
        }
    }

    /// @dev The calls come from this token, so it plays a participant itself.
    function forward(address target, bytes calldata call) external {
        (bool done, bytes memory answer) = target.call(call);
        if (!done) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    function _update(address from, address to, uint256 value) internal override {
        if (!_inside) {
            _inside = true;
            for (uint256 i = 0; i < _calls.length; ++i) {
                (bool done,) = _target.call(_calls[i]);
                if (done) ++succeeded;
            }
            _inside = false;
        }
        super._update(from, to, value);
    }
}
