"""Waits at the metadata server of Google Compute Engine for its two keys to change.

A request hangs until the key's etag differs from the last one seen, so that no change between two requests is missed,
and for ten seconds at most, so that a connection that died without a word is not believed for long. To ask for
`maintenance-event` is at the same time to subscribe: a machine that never asked is not warned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from perdured.core.notices.answer import Answer, Failed, Look
from perdured.core.notices.gcp import parse_maintenance, parse_preempted
from perdured.core.notices.notice import Notice, SourceName

from .eyes import Eyes, Tell
from .parts import Kind, Part, watch_parts
from .web import Request, fetch

HANGS = 10
"""Seconds."""
SLACK = 5.0
BETWEEN = 0.2
"""Seconds between two requests, for a server that does not hang."""

_Parse = Callable[[Answer, Look], tuple[Notice, ...]]


class Gcp:
    name: SourceName = "gcp"

    def __init__(self, url: str, eyes: Eyes, preempted_window: float, maintenance_window: float) -> None:
        self._url = url
        self._eyes = eyes
        self._windows = (preempted_window, maintenance_window)
        self._etags: dict[str, str] = {}

    async def watch(self, tell: Tell) -> None:
        preempted, maintenance = self._windows
        parts = [
            self._make_part("preempted", partial(parse_preempted, window=preempted)),
            self._make_part("maintenance-event", partial(parse_maintenance, window=maintenance)),
        ]
        works = f"Spot preemption ({preempted:g} s) and maintenance of this machine's host"
        await watch_parts(Kind(self.name, lambda: works), parts, tell, self._eyes.haste)

    def _make_part(self, key: str, parse: _Parse) -> Part:
        async def look() -> tuple[Notice, ...]:
            try:
                answer = await self._wait(key)
                notices = parse(answer, self._eyes.look())
            except Failed:
                self._etags.pop(key, None)  # the next is answered at once, whatever was missed
                raise
            self._etags[key] = answer.headers.get("etag", "0")
            return notices

        return Part(key, BETWEEN, look)

    async def _wait(self, key: str) -> Answer:
        asked = f"wait_for_change=true&last_etag={self._etags.get(key, '0')}&timeout_sec={HANGS}"
        url = f"{self._url}/computeMetadata/v1/instance/{key}?{asked}"
        within = HANGS + SLACK if key in self._etags else SLACK
        return await fetch(Request("GET", url, {"Metadata-Flavor": "Google"}), within)
