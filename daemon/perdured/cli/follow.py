"""Waiting for jobs, also over restarts of the daemon: it may be killed and started again at any time, so that whoever
has talked to it once waits for it to come back."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import click

from perdured.client import Client
from perdured.core.units import human_duration
from perdured.errors import NoDaemon, TimedOut
from perdured.wire import Job

from .output import say
from .text import clean, format_loss, format_step, shorten

PATIENCE = 60.0
"""Seconds to wait for a daemon that went away."""
_RETRY_AFTER = 0.5
_LOOK_EVERY = 1.0
"""Seconds: how old the progress shown may be. What ends a wait is an event, and is seen at once."""

Answer = TypeVar("Answer")


def ask_patiently(call: Callable[[], Answer], patience: float = PATIENCE) -> Answer:
    """The answer of a daemon that is known to have been there, waiting for its return if need be."""
    deadline = time.monotonic() + patience
    is_told = False
    while True:
        try:
            return call()
        except NoDaemon:
            if time.monotonic() >= deadline:
                raise
        if not is_told:
            say(f"perdure: the daemon went away; waiting up to {human_duration(patience)} for it to come back")
            is_told = True
        time.sleep(_RETRY_AFTER)


def is_at_rest(job: Job) -> bool:
    """Nothing of it runs, and nothing will until somebody asks."""
    return job["exit_status"] is not None


def wait_for_jobs(
    client: Client, ids: Sequence[str], is_done: Callable[[Job], bool], timeout: float | None = None
) -> list[Job]:
    """The jobs once all of them are done, in the order of `ids`; TimedOut after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    progress = Progress()
    after = 0
    try:
        while True:
            jobs = [ask_patiently(partial(client.show, id)) for id in ids]
            pending = [job for job in jobs if not is_done(job)]
            if not pending:
                return jobs
            left = _LOOK_EVERY if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise _timed_out(pending, timeout or 0.0)
            progress.show(pending)
            after = _wait_for_event(client, after, min(left, _LOOK_EVERY))
    finally:
        progress.clear()


def _wait_for_event(client: Client, after: int, limit: float) -> int:
    return ask_patiently(lambda: client.list_events(after, wait=limit))["next"]


def _timed_out(pending: Sequence[Job], timeout: float) -> TimedOut:
    states = ", ".join(f"{job['name']} is {job['state']}" for job in pending)
    return TimedOut(f"Not done after {human_duration(timeout)}.", f"{states}.", "Nothing was changed; wait again.")


class Progress:
    """One line about what is waited for, drawn over itself; nothing at all when nobody looks at a terminal."""

    def __init__(self) -> None:
        self._is_seen = sys.stderr.isatty()
        self._is_drawn = False

    def show(self, pending: Sequence[Job]) -> None:
        if self._is_seen:
            line = shorten(format_progress(pending), shutil.get_terminal_size().columns - 1)
            click.echo(f"\r\033[K{line}", nl=False, err=True)
            self._is_drawn = True

    def clear(self) -> None:
        if self._is_drawn:
            click.echo("\r\033[K", nl=False, err=True)


def format_progress(pending: Sequence[Job]) -> str:
    """ "gpt: running, step 1200/4000, loss 2.31: attempt 2 is running", and how many more there are."""
    job = pending[0]
    parts = [job["state"]]
    if job["step"] is not None:
        parts.append(f"step {format_step(job['step'], job['total'])}")
    if job["loss"] is not None:
        parts.append(f"loss {format_loss(job['loss'])}")
    more = f" (and {len(pending) - 1} more)" if len(pending) > 1 else ""
    return f"{job['name']}: {', '.join(parts)}: {clean(job['reason'])}{more}"
