"""What the daemon and its carrier say to each other: one order in, reports out, a line of JSON each.

The order comes on standard input, which stays open: a line HURRY lifts the limit, and its end means that the daemon is
gone, so the carrier ends too. No order and no report holds a credential: the carrier has those in its environment.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from perdured.core.tiers import RemoteTrouble
from perdured.core.value import Value

HURRY = b"hurry"


class Term(Value):
    """The lease under which the job is run: see `perdured.core.lease`."""

    url: str
    """That its hosts have joined."""
    job: str
    token: int
    """0: this host has none, and nothing is sent or fetched."""
    first: int
    """With which this host's unbroken row of leases began."""


class Order(Value):
    verb: Literal["push", "pull"]
    url: str
    job: str
    name: str
    """Of the job: the same on every machine on which it goes on."""
    root: str
    """The local directory of checkpoints."""
    record: str
    """The file in which the carrier keeps what it found."""
    keep: int
    limit: int | None = None
    """Bytes a second that an upload may take."""
    takes_over: bool = False
    """Also where the remote went on elsewhere since: a person has asked for it here."""
    is_fresh: bool = False
    """Fetch nothing, and set aside what is there."""
    term: Term | None = None
    """None where this host has joined no others."""


class Moving(Value):
    """How far it is. `done` of `total` bytes; what was right already counts."""

    kind: Literal["moving"] = "moving"
    step: int
    done: int
    total: int


class Moved(Value):
    """Committed where it was to go."""

    kind: Literal["moved"] = "moved"
    step: int
    size: int
    sent: int
    """Bytes of the payload that went over the line."""


class Note(Value):
    """Something that a person should know, and that stops nothing."""

    kind: Literal["note"] = "note"
    text: str


class Done(Value):
    kind: Literal["done"] = "done"
    holds_any: bool
    """Whether the remote holds a committed checkpoint, sound or not."""


class Failed(RemoteTrouble):
    kind: Literal["failed"] = "failed"


Report = Annotated[Moving | Moved | Note | Done | Failed, Field(discriminator="kind")]
REPORT: TypeAdapter[Report] = TypeAdapter(Report)
