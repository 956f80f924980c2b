"""How the sources of notices are: as the daemon says, and where there is none, after a short try of our own.

Only those that are asked over a connection are tried. The others would take a lock, or make a folder, to be of use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from perdured.client import Client
from perdured.clock import start_clock
from perdured.config import override_notices
from perdured.core.notices.notice import SourceName
from perdured.core.notices.status import SourceStatus
from perdured.keeper.identity import read_boot_id
from perdured.notices.eyes import Eyes, Report, Source
from perdured.notices.finding import Here, find_sources, observe_surroundings
from perdured.notices.settings import NoticeSettings
from perdured.tasks import end_tasks, wait_at_most

WITHIN = 5.0
"""Seconds for a source to answer."""

Heard = Mapping[str, SourceStatus]
"""By the source's name."""


def ask_daemon(client: Client) -> Heard:
    told = client.show_notices()["sources"]
    return {each["source"]: SourceStatus(cast(SourceName, each["source"]), each["state"], each["why"]) for each in told}


def try_sources(environment: Mapping[str, str], state_dir: Path) -> Heard:
    settings = override_notices(NoticeSettings(), environment)
    here = Here(state_dir / "notices", lambda: False)
    eyes = Eyes(start_clock(), read_boot_id())
    found = find_sources(settings, observe_surroundings(environment), here, eyes)
    asked = [source for source in (found.slurm, found.cloud) if source is not None]
    return {each.source: each for each in (*found.absent, *asyncio.run(_listen(asked)))}


async def _listen(sources: Sequence[Source]) -> list[SourceStatus]:
    return list(await asyncio.gather(*(_listen_to(source) for source in sources)))


async def _listen_to(source: Source) -> SourceStatus:
    """Until it is known how it is. The first look may have been at a bad moment, so a blind one gets its time."""
    seen = SourceStatus(source.name, "blind", f"it did not answer within {WITHIN:g} s")
    works = asyncio.Event()

    def tell(report: Report) -> None:
        nonlocal seen
        if report.status.state != "starting":
            seen = report.status
        if seen.state == "works":
            works.set()

    watching = asyncio.create_task(source.watch(tell))
    try:
        await wait_at_most(works, WITHIN)
    finally:
        await end_tasks([watching])
    return seen
