"""A machine that is warned of its end, and may be taken away: a daemon's service in this process, with real keepers and
real jobs, whose notices a test sends and whose power it cuts."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from perdured.clock import start_clock
from perdured.core.notices.notice import Notice
from perdured.keeper.identity import Identity, open_process, read_boot_id
from perdured.keeper.records import load_run
from perdured.state.fence import load_fence, save_fence
from perdured.state.home import open_state
from perdured.state.paths import StateDir
from perdured.state.submission import parse_submission
from perdured.supervise.service import Service
from perdured.views import JobView
from support import notices
from support.daemons import wait_for

T = TypeVar("T")


class Machine:
    """From its start to its end; a later one on the same `root` finds what this one left on the disk."""

    def __init__(self, root: Path) -> None:
        self.state = StateDir(root.absolute())
        self.clock = start_clock()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)
        self._thread.start()
        assert self._is_up.wait(20.0)

    def submit(self, text: str, workdir: Path) -> str:
        parsed = parse_submission(text, workdir=workdir, env=dict(os.environ))
        return self._do(self._service.submit(parsed)).id

    def show(self, job: str) -> JobView:
        return self._call(lambda: self._service.show(job))

    def warn(self, left: float, **more: Any) -> Notice:
        """A notice of now that leaves so many seconds."""
        notice = notices.make_notice(left, at=self.clock(), boot_id=read_boot_id(), **more)
        self.tell([notice])
        return notice

    def tell(self, standing: Sequence[Notice]) -> None:
        """All that stand now."""
        self._call(lambda: self._service.take_notices(standing))

    def withdraw(self) -> None:
        self.tell([])

    def ask(self, job: str, wish: Any) -> None:
        self._do(self._service.ask(job, wish))

    def wait_for(self, job: str, is_reached: Callable[[JobView], object], what: str, ceiling: float = 30.0) -> JobView:
        def look() -> JobView | None:
            shown = self.show(job)
            return shown if is_reached(shown) else None

        try:
            return wait_for(look, what, ceiling)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.show(job).model_dump_json(indent=1)}") from None

    def wait_for_state(self, job: str, *states: str, ceiling: float = 30.0) -> JobView:
        return self.wait_for(job, lambda shown: shown.state in states, " or ".join(states), ceiling)

    @staticmethod
    def sleep(seconds: float) -> None:
        """The passing of time is what such a test is about."""
        signal.sigtimedwait([], max(seconds, 0.0))

    def cut_power(self) -> None:
        """The daemon first, which would otherwise act on the death of the others."""
        self.close()
        for directory in self.state.jobs.glob("*/attempts/*"):
            _kill(directory)

    def begin_new_boot(self) -> None:
        """After a cut: what lies on the disk is of a boot that is over, and that lasted until its deadline. On one
        on which all stands still, the last seconds need not be waited for."""
        now, then = read_boot_id(), "00000000-0000-0000-0000-000000000000"
        fence = load_fence(self.state)
        if fence is not None:
            ends = [notice.deadline for notice in fence.notices if notice.deadline is not None]
            save_fence(self.state, fence.model_copy(update={"alive_at": max(ends)}))
        for path in (self.state.fence, *self.state.jobs.glob("*/attempts/*/run.json")):
            if path.exists():
                path.write_text(path.read_text().replace(now, then))

    def close(self) -> None:
        """The daemon ends; the jobs go on."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20.0)

    async def _live(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        with open_state(self.state.root, self.clock) as (state, registry):
            self._service = Service(state, registry, self.clock)
            await self._service.start()
            self._is_up.set()
            await self._stop.wait()
            await self._service.close()

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30.0)

    def _call(self, ask: Callable[[], T]) -> T:
        async def call() -> T:
            return ask()

        return self._do(call())


def _kill(directory: Path) -> None:
    """Everything of an attempt, keeper first, so that it records no end."""
    run = load_run(directory)
    for who in (run.keeper, run.leader) if run is not None else ():
        pidfd = open_process(who)
        if pidfd is None:
            continue
        with suppress(ProcessLookupError):
            os.kill(who.pid, signal.SIGKILL)
        os.close(pidfd)
        wait_for(partial(_is_gone, who), f"process {who.pid} to be gone")


def _is_gone(who: Identity) -> bool:
    pidfd = open_process(who)
    if pidfd is not None:
        os.close(pidfd)
    return pidfd is None


@contextmanager
def machine_at(root: Path) -> Iterator[Machine]:
    machine = Machine(root)
    try:
        yield machine
    finally:
        machine.cut_power()
