"""What there is to be had."""

from __future__ import annotations

from typing import NamedTuple

from .amounts import UNLIMITED, Amounts


class Machine(NamedTuple):
    has: Amounts = UNLIMITED
    paused: frozenset[str] = frozenset()
    """Groups of which nothing runs for now."""


ENDLESS = Machine()
"""Nobody has to wait for room: a `perdure run`, which is alone."""
