"""Reads a table, trains a multilayer perceptron on it, and writes the model; needs nothing but this package."""
