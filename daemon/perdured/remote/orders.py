"""What the daemon and its helper process say to each other: one order in, reports out, a line of JSON each.

The order comes on standard input, which stays open: its end means that the daemon is gone, and the helper ends too.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from perdured.core.value import Value


class Order(Value):
    verb: Literal["push", "pull"]
    url: str
    root: str
    """The local directory of checkpoints."""
    record: str
    """The file in which the helper keeps what it found."""
    keep: int
    limit: int | None = None
    """Bytes a second that an upload may take."""


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


class Failed(Value):
    kind: Literal["failed"] = "failed"
    what: str
    why: str
    todo: str


Report = Annotated[Moving | Moved | Note | Done | Failed, Field(discriminator="kind")]
REPORT: TypeAdapter[Report] = TypeAdapter(Report)
