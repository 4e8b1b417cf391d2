"""TODO"""

from compute.sandbox.environment import environment_digest, environment_list
from compute.sandbox.sandbox import Sandbox
from compute.sandbox.task import Ending, Isolation, Limits, Outcome, Source, Task

__all__ = [
    "Ending",
    "Isolation",
    "Limits",
    "Outcome",
    "Sandbox",
    "Source",
    "Task",
    "environment_digest",
    "environment_list",
]
