"""What can be wrong with a table or a task."""

from __future__ import annotations


class TaskError(Exception):
    """The table does not fit the task. The text holds names of columns and counts, never a value of a row."""
