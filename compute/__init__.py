"""Everything that touches plaintext: the provider's node, the sandbox, the algorithms."""

import marketplace as marketplace  # first: it keeps what eth-account needs from slowing each start
