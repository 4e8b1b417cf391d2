"""The chain: the only shared truth. The one room that imports web3.

`client.Chain` reads and sends; `events` decodes logs and follows them; `deploy` puts the contracts on a chain and
checks them; `embedded` runs a development chain on this machine.
"""
