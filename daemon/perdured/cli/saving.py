"""`perdure checkpoint --before T`: asking for a save with a deadline, saying what will be done, and how it went."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

import click

from perdured.client import Client
from perdured.contract import exits
from perdured.core.units import human_duration
from perdured.errors import TimedOut
from perdured.wire import Job, Saving

from .acting import has_saved
from .follow import wait_for_jobs
from .output import print_json, say
from .text import clean

NOT_BEGUN = 1


def save_before(client: Client, refs: Sequence[str], before: float, *, is_waiting: bool, as_json: bool) -> None:
    """Ends with 1 where a checkpoint was not begun, and 124 where one was late."""
    earlier = {job["id"]: job for job in [client.show(ref) for ref in refs]}
    deadline = time.monotonic() + before
    asked = [client.ask_save_before(id, before) for id in earlier]
    for job in asked:
        say(f"{clean(job['name'])} {job['id']}: {job['plan']['why'] if job['plan'] else ''}")
    begun = [job for job in asked if job["plan"] is not None and job["plan"]["tier"] not in (None, "memory")]
    late = _wait(client, earlier, begun, deadline) if is_waiting else []
    _print([client.show(job["id"]) for job in asked], asked, as_json=as_json)
    _tell_late(late, before)
    click.get_current_context().exit(exits.TIMED_OUT if late else NOT_BEGUN if len(begun) < len(asked) else exits.DONE)


def _wait(client: Client, earlier: dict[str, Job], begun: Sequence[Saving], deadline: float) -> list[Job]:
    """Those that had not saved when the time was over."""
    ids = [job["id"] for job in begun]
    if ids:
        with contextlib.suppress(TimedOut):
            wait_for_jobs(client, ids, lambda job: has_saved(earlier[job["id"]], job), deadline - time.monotonic())
    now = [client.show(id) for id in ids]
    return [job for job in now if job["checkpoint"] == earlier[job["id"]]["checkpoint"]]


def _print(now: Sequence[Job], asked: Sequence[Saving], *, as_json: bool) -> None:
    if as_json:
        plans = [job["plan"] for job in asked]
        print_json({"schema": 1, "jobs": [{**job, "plan": plan} for job, plan in zip(now, plans, strict=True)]})
        return
    for job in now:
        newest = job["checkpoint"]
        saved = f"newest checkpoint: step {newest['step']}" if newest else "no checkpoint yet"
        click.echo(f"{clean(job['name'])} {job['id']}: {saved}")


def _tell_late(late: Sequence[Job], before: float) -> None:
    for job in late:
        what = f"nothing was saved within {human_duration(before)}; what was before stays"
        say(f"{clean(job['name'])} {job['id']}: {what}")
