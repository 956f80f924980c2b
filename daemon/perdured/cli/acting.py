"""Asking something of jobs, waiting until it is done, and saying how it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from perdured.client import Client
from perdured.wire import Job, Remote, Wish

from .follow import is_at_rest, wait_for_jobs
from .output import print_json, say
from .text import STATE_COLOURS, Cell, clean, paint

IsDone = Callable[[Job, Job], bool]
"""Whether what was asked is done: the job before it was asked, and now."""

wait_option = click.option("--wait/--no-wait", default=True, help="Wait until it is done, or only ask [--wait].")


def has_started_again(before: Job, now: Job) -> bool:
    """A later attempt runs, or has ended already."""
    return len(now["attempts"]) > len(before["attempts"]) and now["state"] != "starting"


def has_saved(before: Job, now: Job) -> bool:
    """There is another newest checkpoint. A job that came to rest meanwhile will not save any more."""
    return (now["checkpoint"] is not None and now["checkpoint"] != before["checkpoint"]) or is_at_rest(now)


def ask_and_tell(
    client: Client, refs: Sequence[str], wish: Wish, is_done: IsDone | None, *, as_json: bool = False
) -> None:
    """What became of the jobs: a line each, or with `as_json` the jobs as `perdure ps --json` prints them."""
    jobs = ask_and_wait(client, refs, wish, is_done)
    if as_json:
        print_json({"schema": 1, "jobs": jobs})
        return
    for job in jobs:
        click.echo(_describe(job, is_asked_only=is_done is None))
        if is_at_rest(job):
            tell_pending(job)


def tell_pending(job: Job) -> None:
    """That a job rests does not mean that its newest checkpoint has reached the remote."""
    remote = job["remote"]
    if remote is not None and remote["pending_step"] is not None:
        what = f"step {remote['pending_step']} is not in {remote['url']} yet"
        say(f"perdure: {clean(job['name'])}: {what}; {_say_why(remote)}")


def _say_why(remote: Remote) -> str:
    trouble = remote["trouble"]
    return clean(trouble["what"]) if trouble is not None else "the daemon goes on copying it"


def ask_and_wait(client: Client, refs: Sequence[str], wish: Wish, is_done: IsDone | None) -> list[Job]:
    """Asks all first, so that they do it side by side. A wrong reference is noticed before anything is asked."""
    before = {job["id"]: job for job in [client.show(ref) for ref in refs]}
    jobs = [client.ask(id, wish) for id in before]
    if is_done is None:
        return jobs
    return wait_for_jobs(client, list(before), lambda job: is_done(before[job["id"]], job))


def _describe(job: Job, *, is_asked_only: bool) -> str:
    state = paint(Cell(job["state"], STATE_COLOURS.get(job["state"])))
    newest = job["checkpoint"]
    saved = f" (newest checkpoint: step {newest['step']})" if newest else ""
    asked = "asked; still " if is_asked_only else ""
    return f"{clean(job['name'])} {job['id']}: {asked}{state}, {clean(job['reason'])}{saved}"
