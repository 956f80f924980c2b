"""`perdure run`: the same loop and the same keeper for one job, in the foreground, with no daemon.

The state lies in the checkpoint directory (`.perdure/`), or below a given state directory under a name made from that
directory. So two runs on one checkpoint directory cannot both work, runs on different ones do not meet, nor meet a
daemon, and a later run goes on with what an earlier one left: a live keeper is adopted, a parked job is resumed.

Attempts that a later run starts have its environment, not the earlier one's: who exports another variable and runs
again means it. Of an attempt that still runs, what it printed last is shown first: nobody knows how much was seen.

| signal | what happens |
|---|---|
| SIGTERM, SIGHUP | the job saves and is parked; exit 75: run me again |
| SIGTERM again | nothing: Slurm sends several, and none may cut a save short, or its copy to the remote |
| SIGINT (Ctrl-C) | the job saves and is stopped; exit 75 |
| SIGINT again | the grace is over now; the copy to the remote is not waited for |
| SIGUSR1 (`PERDURE_NOTICES_SIGNAL`) | all this is about to end: a notice, and the job saves before it does |
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
from typing import NamedTuple

from .clock import start_clock
from .config import override_notices
from .contract import exits
from .core.events import Event
from .core.record import UNDER_WAY
from .notices.finding import observe_surroundings
from .notices.listening import Listening
from .notices.settings import NoticeSettings
from .state.home import open_state
from .state.submission import Submission
from .supervise.service import Ask, Service
from .tasks import end_tasks
from .views import JobView

_READ_EVERY = 0.1
"""Seconds between looks at the job's output: it writes a file, so that nobody's death can block it."""
_TAIL_LINES = 20
_MOST_OF_A_TAIL = 16 << 10


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
        notices = override_notices(NoticeSettings(), os.environ)
        listening = Listening(notices, observe_surroundings(os.environ), state.root, clock)
        await service.start(resume_parked=False)
        hearing = asyncio.create_task(listening.run(service), name="notices")
        try:
            seen = registry.last_event()
            taken = await _take_up(service, submission, output)
            _obey_signals(service, listening, taken.job)
            await _show_until_end(service, taken, output, seen)
            await _finish_uploads(service, taken.job, output)
            status = service.show(taken.job).exit_status
            return exits.PERDURE_FAILED if status is None else status
        finally:
            await end_tasks([hearing])
            await service.close()


def _stands_still(job: JobView) -> bool:
    """Parked with its process, which goes on by itself."""
    return job.state == "parked" and job.attempts[-1].ended_at is None


class _Taken(NamedTuple):
    job: str
    running: int | None = None
    """The attempt that ran already."""


async def _take_up(service: Service, submission: Submission, output: Output) -> _Taken:
    """The job to supervise: an earlier run's that had not come to its end, or a new one.

    A job of another spec that still runs here, since its `perdure run` was killed, has to save and end first.
    """
    earlier = service.find_unfinished(submission)
    if earlier is not None:  # before any of its attempts can start
        service.renew_environment(earlier.id, submission.env)
    await service.end_others(earlier.id if earlier else None)
    if earlier is None:
        return _Taken((await service.submit(submission)).id)
    if earlier.state in ("stopped", "parked") and not _stands_still(earlier):
        await service.ask(earlier.id, "resume")
    elif earlier.state in (*UNDER_WAY, "parked"):
        attempt = earlier.attempts[-1]
        text = f"attempt {attempt.number} of an earlier `perdure run` still runs (pid {attempt.pid}); following it"
        output.tell(Event(kind="adopted", text=text), earlier)
        return _Taken(earlier.id, attempt.number)
    return _Taken(earlier.id)


def _obey_signals(service: Service, listening: Listening, job: str) -> None:
    loop = asyncio.get_running_loop()
    pending: set[asyncio.Task[JobView]] = set()

    def ask(wish: Ask) -> None:
        task = loop.create_task(service.ask(job, wish))
        pending.add(task)
        task.add_done_callback(pending.discard)

    def interrupt() -> None:
        ask("stop")
        loop.add_signal_handler(signal.SIGINT, partial(service.hurry, job))

    def terminate() -> None:
        if listening.ends_by("SIGTERM"):
            listening.hear("SIGTERM")
        ask("park")

    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGHUP, ask, "park")
    loop.add_signal_handler(signal.SIGINT, interrupt)
    if listening.signal is not None:
        loop.add_signal_handler(signal.Signals[listening.signal], listening.hear, listening.signal)


async def _show_until_end(service: Service, taken: _Taken, output: Output, seen: int) -> None:
    """Passes events and output on until the job rests, then the rest of both."""
    reader, job = _OutputReader(service, taken, output), taken.job
    while True:
        rests = service.show(job).exit_status is not None
        for stored in service.events(seen, job):
            seen = stored.seq
            output.tell(stored.event, service.show(job))
        reader.pass_on()
        if rests:
            return
        await asyncio.sleep(_READ_EVERY)


def find_tail(path: Path) -> int:
    """Where the last lines of a file begin."""
    with path.open("rb") as file:
        start = max(file.seek(0, os.SEEK_END) - _MOST_OF_A_TAIL, 0)
        file.seek(start)
        text = file.read(_MOST_OF_A_TAIL)
    ends = [at for at, byte in enumerate(text[:-1]) if byte == ord("\n")]
    if len(ends) >= _TAIL_LINES:
        return start + ends[-_TAIL_LINES] + 1
    return start + ends[0] + 1 if start and ends else start


async def _finish_uploads(service: Service, job: str, output: Output) -> None:
    """What the remote lacks is copied up before this process ends. A person's signal leaves without."""
    view = service.show(job)
    if view.remote is None or not view.remote.is_pending:
        return
    seen = service.newest_event()
    text = f"copying step {view.remote.pending_step} to {view.remote.url}; Ctrl-C leaves without it"
    output.tell(Event(kind="remote", text=text), view)
    loop, leave = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGHUP, signal.SIGINT):
        loop.add_signal_handler(number, leave.set)
    loop.add_signal_handler(signal.SIGTERM, lambda: None)  # the end is announced again: only the kill ends the copy
    waits = [asyncio.ensure_future(service.wait_until_uploaded([job])), asyncio.ensure_future(leave.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    for stored in service.events(seen, job):
        output.tell(stored.event, service.show(job))
    left = service.show(job).remote
    if left is not None and left.is_pending:
        text = f"step {left.pending_step} is on this machine only; the next `perdure run` copies it to {left.url}"
        output.tell(Event(kind="remote", text=text), view)


class _OutputReader:
    """Passes on what the attempts of a job have written, each from where it was read last."""

    def __init__(self, service: Service, taken: _Taken, output: Output) -> None:
        self._service, self._job, self._output = service, taken.job, output
        self._offsets: dict[int, int] = {
            number: find_tail(path) if number == taken.running else path.stat().st_size
            for number, path in service.log_files(taken.job)
        }

    def pass_on(self) -> None:
        for number, path in self._service.log_files(self._job):
            with path.open("rb") as file:
                file.seek(self._offsets.get(number, 0))
                while block := file.read(1 << 16):
                    self._output.write(block)
                self._offsets[number] = file.tell()
