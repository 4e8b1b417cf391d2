"""Asks a hub: search, lists, live progress, events. What it says is a convenience; trade and audit never ask it."""

from marketplace.hub.asking import printable
from marketplace.hub.client import HubClient, Live

__all__ = ["HubClient", "Live", "printable"]
