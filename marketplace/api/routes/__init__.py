"""The hub's routes, a file for each noun."""
