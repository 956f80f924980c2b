"""An answer of a metadata service, and what can be wrong with it. Pure.

A look that fails says nothing about notices. How it failed decides whether trying again may mend it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from .notice import RAW_LIMIT
from .times import parse_http_date


class Look(NamedTuple):
    """When and where a source was asked."""

    at: float
    boot_id: str
    ahead: float = 0.0
    """Seconds by which the source's clock is ahead of ours."""

    def to_ours(self, theirs: float) -> float:
        """A time on the source's clock as one on ours."""
        return theirs - self.ahead


class Answer(NamedTuple):
    status: int
    body: str = ""
    headers: Mapping[str, str] = {}
    """Their names in lower case."""


class Failed(Exception):
    """The look showed nothing. `is_lasting`: trying again will not mend it, and a person has to know."""

    def __init__(self, why: str, *, is_lasting: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.is_lasting = is_lasting


def expect_ok(answer: Answer) -> str:
    """The body of a good answer. Raises Failed for every other."""
    if answer.status == 200:
        return answer.body
    if answer.status in (301, 302, 303, 307, 308):
        raise Failed("what answers sends us elsewhere, which no metadata service does: a proxy", is_lasting=True)
    if answer.status == 403:
        raise Failed(
            "the metadata service refuses (403): it is turned off, or something stands between", is_lasting=True
        )
    if answer.status == 429:
        raise Failed("the metadata service is asked too often (429)")
    raise Failed(f"the metadata service answers {answer.status}")


def parse_object(text: str) -> dict[str, object]:
    found = parse_json(text)
    if not isinstance(found, dict):
        raise Failed(f"the answer is no JSON object: {shorten(text)}")
    return found


def parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Failed(f"the answer is not JSON: {shorten(text)}") from None


def find_ahead(answer: Answer, now: float) -> float:
    """How far the source's clock is ahead of ours, by its Date. That counts whole seconds: less than two are none."""
    theirs = parse_http_date(answer.headers.get("date", ""))
    ahead = theirs - now if theirs is not None else 0.0
    return ahead if abs(ahead) >= 2.0 else 0.0


def cut_raw(text: str) -> str:
    return text[:RAW_LIMIT]


def shorten(text: str) -> str:
    line = " ".join(text.split())
    return repr(line[:60] + ("…" if len(line) > 60 else ""))
