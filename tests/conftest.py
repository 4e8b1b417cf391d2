"""Shared by all tests: nothing here may hide a failure."""
