"""Environments: named lists of packages that algorithms find at /opt/packages, each a folder of its own.

    environments = Environments(home / "environments")
    built = environments.build_ready("python-ml", print)
    built.look()     # what is wrong, by names, sizes and times of all its files
    built.check()    # by every byte

An environment's digest is the SHA-256 of its sorted `name==version` list, the interpreter's own version in it. Its
folder is `<name>-<12 hex digits>`: `packages/`, `files.txt` (SHA-256, size and time of each file) and
`environment.json`, written last. An algorithm sees `packages/` alone, nothing of what the node itself imports.

Covered
- only what was asked for and what that needs, each package's files by its own RECORD, of the sizes that stand there
  (`check` compares every byte with it); no link, no .pth file, no sitecustomize: nothing runs before an algorithm's
  first line, nothing leads out
- a package whose needs are not in the list, or are there in another version, is refused; so is what is not pinned
- a file that was changed, removed or added, or that others may write; another interpreter: seen at a node's start and
  before a job (`look`, which counts for 30 s), and its environment is withdrawn until it is built again
- a build that is killed leaves nothing that counts; the next one removes what it left

Not covered
- what the packages do: they are the provider's choice, and run inside the sandbox with the algorithm
- an owner who forges files with their sizes and times: `check` reads every byte, and who can forge those can forge
  `files.txt`. A digest in a receipt is the node's word
- that a compiled cache (__pycache__) is what its source compiles to; `check` sees only that it is as it was
- headers for compilers are left out: nothing compiles in the sandbox
"""

from compute.environments.built import BuiltEnvironment
from compute.environments.definitions import ready_made
from compute.environments.store import Environments

__all__ = ["BuiltEnvironment", "Environments", "ready_made"]
