"""What a hub and its clients say to each other, as types: written by `marketplace.api`, read by `marketplace.hub`.

Digests are 0x-hex, token ids and other uint256 decimal text, amounts integers in units of the Market's token, times
Unix seconds. A reader ignores fields that it does not know, and names those that are missing.
"""
