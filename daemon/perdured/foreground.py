"""`perdure run`: the same loop and the same keeper for one job, in the foreground, with no daemon.

The state lies in the checkpoint directory (`.perdure/`), so two runs on one directory cannot both work, and a later
run goes on with what an earlier one left: a live keeper is adopted, a job that was parked is resumed.

| signal | what happens |
|---|---|
| SIGTERM, SIGHUP | the job saves and is parked; exit 75: run me again |
| SIGINT (Ctrl-C) | the job saves and is stopped; exit 75 |
| SIGINT again | the grace is over now |
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .clock import start_clock
from .contract import exits
from .core.events import Event
from .home import open_state
from .service import Ask, Service
from .submission import Submission
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


def default_run_state(submission: Submission) -> Path:
    return submission.checkpoint_dir / ".perdure"


def run_job(submission: Submission, output: Output, state_dir: Path | None = None) -> int:
    """Supervises the job until it ends; returns the exit status of `perdure run`."""
    return asyncio.run(_run(submission, output, state_dir or default_run_state(submission)))


async def _run(submission: Submission, output: Output, state_dir: Path) -> int:
    clock = start_clock()
    with open_state(state_dir, clock) as (state, registry):
        service = Service(state, registry, clock)
        await service.start()
        try:
            earlier = service.find_unfinished(submission)
            seen = registry.last_event()
            if earlier is not None and earlier.state == "stopped":
                await service.ask(earlier.id, "resume")
            job = earlier or await service.submit(submission)
            _obey_signals(service, job.id)
            await _show_until_end(service, job.id, output, seen)
            status = service.show(job.id).exit_status
            return exits.PERDURE_FAILED if status is None else status
        finally:
            await service.close()


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
