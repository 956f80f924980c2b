"""What the daemon and its messenger say to each other: a line of JSON each, questions in, answers out.

A question is first to write, then to look. The answer has what was seen after the writes: of each job the newest two
leases, and what is to be run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from perdured.core.lease import Entry, Lease, Seen
from perdured.core.tiers import RemoteTrouble
from perdured.core.value import Value
from perdured.remote.chain import parse_lease, parse_posting


class Ask(Value):
    """Texts by their keys."""

    create: dict[str, str] = Field(default_factory=dict)
    """Only if absent."""
    put: dict[str, str] = Field(default_factory=dict)


class Told(Value):
    kind: Literal["told"] = "told"
    created: tuple[str, ...] = ()
    """The keys that were absent, and hold now what was to be created."""
    texts: dict[str, str] = Field(default_factory=dict)
    """By their keys, what is there of interest."""


class Failed(RemoteTrouble):
    kind: Literal["failed"] = "failed"


Answer = Annotated[Told | Failed, Field(discriminator="kind")]
ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


def choose_keys(keys: Mapping[str, object]) -> list[str]:
    """Of a listing, what is worth reading."""
    leases: dict[str, list[int]] = {}
    for key in keys:
        if (found := parse_lease(key)) is not None:
            leases.setdefault(found[0], []).append(found[1])
    newest = {(job, token) for job, tokens in leases.items() for token in sorted(tokens)[-2:]}
    return [key for key in keys if parse_posting(key) is not None or parse_lease(key) in newest]


def read_chains(texts: Mapping[str, str]) -> dict[str, Seen]:
    """Of each job. ValueError for what no Perdure wrote: nothing may be concluded from it."""
    chains: dict[str, list[Entry]] = {}
    for key, text in texts.items():
        found = parse_lease(key)
        if found is not None:
            chains.setdefault(found[0], []).append(Entry(found[1], Lease.model_validate_json(text)))
    return {job: _see(sorted(entries, key=lambda each: each.token)) for job, entries in chains.items()}


def _see(entries: list[Entry]) -> Seen:
    return Seen(entries[-1], entries[-2] if len(entries) > 1 else None)
