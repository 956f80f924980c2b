"""Which commits of a remote count, where several hosts may have written them. Pure.

Each COMMIT names the token of the lease under which it was written. The *base* of a lease is the list of what counted
when it was entered, written once, before anything is committed under it. So a commit that comes late, from a host that
lost its lease and does not know it yet, is in no base and under no newest token: it never counts, whatever its step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

Name = TypeVar("Name")

SEQ_GAP = 10_000
"""How many numbers a host that takes over leaves free: for what the host before has on its disk alone, and may still
try to send. Two checkpoints of one name would be written over each other."""


def list_counting(commits: Mapping[Name, int | None], base: int, inherited: Collection[object]) -> set[Name]:
    """Of `commits`, by their tokens, those that count after the newest base. None: it was written without a lease, by a
    host that had not joined, and counts."""
    return {name for name, token in commits.items() if token is None or token >= base or name in inherited}
