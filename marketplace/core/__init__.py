"""The rules, as pure functions and types: no input or output, no clock, no randomness unless passed in."""
