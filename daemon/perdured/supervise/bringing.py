"""Before a start: what the remote tier has and the disk has not, is fetched.

The disk is looked at first, every byte of what would be resumed from (`ground`). The remote is asked once after each
rest, since the job may have gone on elsewhere meanwhile, and whenever the disk's newest was broken or nothing is there;
in between the disk cannot be behind. What was fetched is then chosen from as from any directory of checkpoints.

Fetching may take long, so a wish that comes in meanwhile ends it: what came is kept only if it is whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from perdured.core.events import Event
from perdured.core.observation import Refused
from perdured.core.tiers import Look, is_remote_asked, judge_look
from perdured.remote.status import Route
from perdured.remote.tier import RemoteTier
from perdured.state.paths import StateDir

from .ground import Prepared
from .job import Job

Prepare = Callable[[], Awaitable[Prepared]]


def find_route(job: Job, state: StateDir) -> Route | None:
    """To the job's remote; None if it has none."""
    checkpoint = job.submission.spec.checkpoint
    if checkpoint.remote is None:
        return None
    return Route(
        job=job.id,
        name=job.record.name,
        root=job.submission.checkpoint_dir,
        url=checkpoint.remote,
        record=state.remote(job.id),
        keep=checkpoint.remote_keep or checkpoint.keep,
        limit=checkpoint.remote_limit,
        env=job.submission.env,
        term=job.tenure.make_term() if job.tenure is not None else None,
    )


async def bring(job: Job, prepared: Prepared, prepare: Prepare, route: Route, tier: RemoteTier) -> Prepared:
    """`prepared` is what the disk alone gives, and `prepare` looks at that again. All events come back."""
    disk = prepared.disk
    if disk is None:
        return prepared
    if not disk.is_fresh and not is_remote_asked(
        has_looked=job.has_looked, has_chosen=disk.has_chosen, has_rejected=disk.has_rejected
    ):
        return prepared
    look = await _fetch_until_wished_otherwise(job, route, tier, is_fresh=disk.is_fresh)
    if look is None:
        return prepared._replace(result=Refused(why="asked to end before it had started", permanent=False))
    job.has_looked = look.trouble is None
    refused = judge_look(look._replace(holds_any=look.holds_any and not disk.is_fresh), has_chosen=disk.has_chosen)
    if look.trouble is not None:
        return _pass_trouble_on(prepared, look, refused)
    again = await prepare()
    is_found = again.disk is not None and again.disk.has_chosen
    result = again.result if is_found or refused is None or isinstance(again.result, Refused) else refused
    return again._replace(result=result, events=prepared.events + again.events)


def _pass_trouble_on(prepared: Prepared, look: Look, refused: Refused | None) -> Prepared:
    if refused is not None:
        return prepared._replace(result=refused)
    assert look.trouble is not None
    note = Event(kind="remote", text=f"{look.trouble.as_text} Going on from what the disk has.")
    return prepared._replace(events=(*prepared.events, note))


async def _fetch_until_wished_otherwise(job: Job, route: Route, tier: RemoteTier, *, is_fresh: bool) -> Look | None:
    """None if something else was asked of the job meanwhile."""
    fetching = asyncio.ensure_future(tier.fetch(route, takes_over=job.is_asked_by_hand, is_fresh=is_fresh))
    try:
        while not fetching.done() and job.record.wish == "run":
            job.wake.clear()
            woken = asyncio.ensure_future(job.wake.wait())
            await asyncio.wait({fetching, woken}, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
        return fetching.result() if fetching.done() else None
    finally:
        if not fetching.done():
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
