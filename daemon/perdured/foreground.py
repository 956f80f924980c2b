"""`perdure run`: the same loop and the same keeper for one job, in the foreground, with no daemon.

The state lies in the checkpoint directory (`.perdure/`), or below a given state directory under a name made from that
directory. So two runs on one checkpoint directory cannot both work, runs on different ones do not meet, nor meet a
daemon, and a later run goes on with what an earlier one left: a live keeper is adopted, a parked job is resumed.

| signal | what happens |
|---|---|
| SIGTERM, SIGHUP | the job saves and is parked; exit 75: run me again |
| SIGINT (Ctrl-C) | the job saves and is stopped; exit 75 |
| SIGINT again | the grace is over now |
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .clock import start_clock
from .contract import exits
from .core.events import Event
from .core.record import UNDER_WAY
from .state.home import open_state
from .state.submission import Submission
from .supervise.service import Ask, Service
from .views import JobView

_READ_EVERY = 0.1
"""Seconds between looks at the job's output: it writes a file, so that nobody's death can block it."""


@dataclass(frozen=True)
class Output:
    """Where a foreground run shows itself."""

    write: Callable[[bytes], None]
    """The job's own output, unchanged."""
    tell: Callable[[Event, JobView], None]
    """What Perdure has to say."""


def find_run_state(submission: Submission, state_dir: Path | None) -> Path:
    """Where a run with this checkpoint directory keeps its state."""
    if state_dir is None:
        return submission.checkpoint_dir / ".perdure"
    name = hashlib.sha256(os.fsencode(submission.checkpoint_dir.resolve())).hexdigest()[:16]
    return state_dir / "runs" / name


def run_job(submission: Submission, output: Output, state_dir: Path | None = None) -> int:
    """Supervises the job until it ends; returns the exit status of `perdure run`."""
    return asyncio.run(_run(submission, output, find_run_state(submission, state_dir)))


async def _run(submission: Submission, output: Output, state_dir: Path) -> int:
    clock = start_clock()
    with open_state(state_dir, clock) as (state, registry):
        service = Service(state, registry, clock)
        await service.start(resume_parked=False)
        try:
            seen = registry.last_event()
            job = await _take_up(service, submission, output)
            _obey_signals(service, job)
            await _show_until_end(service, job, output, seen)
            status = service.show(job).exit_status
            return exits.PERDURE_FAILED if status is None else status
        finally:
            await service.close()


async def _take_up(service: Service, submission: Submission, output: Output) -> str:
    """The id of the job to supervise: an earlier run's that had not come to its end, or a new one.

    A job of another spec that still runs here, since its `perdure run` was killed, has to save and end first.
    """
    earlier = service.find_unfinished(submission)
    await service.end_others(earlier.id if earlier else None)
    if earlier is None:
        return (await service.submit(submission)).id
    if earlier.state in ("stopped", "parked"):
        await service.ask(earlier.id, "resume")
    elif earlier.state in UNDER_WAY:
        attempt = earlier.attempts[-1]
        text = f"attempt {attempt.number} of an earlier `perdure run` still runs (pid {attempt.pid}); following it"
        output.tell(Event(kind="adopted", text=text), earlier)
    return earlier.id


def _obey_signals(service: Service, job: str) -> None:
    loop = asyncio.get_running_loop()
    pending: set[asyncio.Task[JobView]] = set()

    def ask(wish: Ask) -> None:
        task = loop.create_task(service.ask(job, wish))
        pending.add(task)
        task.add_done_callback(pending.discard)

    def interrupt() -> None:
        ask("stop")
        loop.add_signal_handler(signal.SIGINT, partial(service.hurry, job))

    loop.add_signal_handler(signal.SIGTERM, ask, "park")
    loop.add_signal_handler(signal.SIGHUP, ask, "park")
    loop.add_signal_handler(signal.SIGINT, interrupt)


async def _show_until_end(service: Service, job: str, output: Output, seen: int) -> None:
    """Passes events and output on until the job rests, then the rest of both."""
    reader = _OutputReader(service, job, output)
    while True:
        rests = service.show(job).exit_status is not None
        for stored in service.events(seen, job):
            seen = stored.seq
            output.tell(stored.event, service.show(job))
        reader.pass_on()
        if rests:
            return
        await asyncio.sleep(_READ_EVERY)


class _OutputReader:
    """Passes on what the attempts of a job have written, each from where it was read last."""

    def __init__(self, service: Service, job: str, output: Output) -> None:
        self._service, self._job, self._output = service, job, output
        self._offsets: dict[int, int] = {number: path.stat().st_size for number, path in service.log_files(job)}

    def pass_on(self) -> None:
        for number, path in self._service.log_files(self._job):
            with path.open("rb") as file:
                file.seek(self._offsets.get(number, 0))
                while block := file.read(1 << 16):
                    self._output.write(block)
                self._offsets[number] = file.tell()
