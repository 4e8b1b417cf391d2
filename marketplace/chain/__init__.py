"""The chain: the only shared truth. The one room that imports web3.

`client.Chain` reads and sends; `events` decodes logs; `follow` follows them through reorganisations; `deployment`
tells whether the contracts are still those, `deploy` puts them there; `embedded` runs a chain on this machine.
"""
