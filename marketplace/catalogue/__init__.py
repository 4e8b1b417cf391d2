"""The hub's read model: confirmed events and shared documents, folded into SQLite for search and display.

It is a cache. Everything in it can be rebuilt, row for row, from the chain and the shared store; nothing that
buys, runs, settles or audits reads it.
"""
