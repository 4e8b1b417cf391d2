"""What a hub keeps of its own: who is signed in, their webhooks, and the mail that waits for these.

Unlike the catalogue it cannot be rebuilt, so it has a file of its own, which only its owner may read: it holds the
secrets that sign deliveries. A restart, also by `kill -9`, loses nothing of it; losing the file loses no trade.
"""
