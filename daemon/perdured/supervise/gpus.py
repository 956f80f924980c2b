"""The GPUs that jobs are given: which there are, and which have failed one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from perdured.clock import Clock, format_time
from perdured.contract import environment
from perdured.core.events import Event
from perdured.core.queue.demand import Demand
from perdured.core.queue.quarantine import find_faulty
from perdured.core.record import JobRecord
from perdured.errors import BadUsage, WrongState
from perdured.gpus import Gpu, observe_gpus, select_visible
from perdured.queue_view import GpuView
from perdured.state.paths import StateDir
from perdured.state.quarantine import Quarantined, load_quarantine, save_quarantine

from .queue import Queue


class Gpus:
    def __init__(self, state: StateDir, queue: Queue, clock: Clock) -> None:
        self._state = state
        self._queue = queue
        self._clock = clock
        self._named = queue.machine.gpus
        """By the config; None where none are given to anybody, empty where the driver is asked."""
        self._seen: dict[str, Gpu] = {}
        self._quarantine: dict[str, Quarantined] = {}
        self._looked = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def take_up(self) -> None:
        """What was in quarantine still is. The driver is asked meanwhile: it may take a second."""
        self._quarantine = load_quarantine(self._state)
        self._tell_queue(self._queue.machine.gpus)
        self._looking = asyncio.create_task(self.look(), name="gpus")

    def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def look(self) -> None:
        """Asks the driver which there are."""
        try:
            if self._named is not None:
                seen = await asyncio.to_thread(observe_gpus) or ()
                self._seen = {gpu.uuid: gpu for gpu in seen}
                visible = select_visible(seen, os.environ.get(environment.VISIBLE_GPUS))
                self._tell_queue(self._named or tuple(gpu.uuid for gpu in visible))
        finally:
            self._looked.set()  # whoever submits waits for it

    async def wait_until_looked(self) -> None:
        await self._looked.wait()

    def refuse_lacking(self, asked: int) -> None:
        """Raises BadUsage where there is no GPU at all, and a job asks for some."""
        if asked and self._queue.machine.gpus == ():
            raise BadUsage(
                "The job was not accepted: it asks for GPUs, and perdured knows of none.",
                "The driver does not answer, or nvidia-ml-py, through which it is asked, is not installed.",
                "Install it where perdured runs (pip install 'perdure[gpu]'), or name them in its config: gpus.",
            )

    def note_end(self, before: JobRecord, after: JobRecord) -> list[Event]:
        """Puts into quarantine what the end of an attempt speaks against; durable when it returns. Doing it twice does
        nothing more, so it comes before the record of the end."""
        last, earlier = after.last_attempt, before.last_attempt
        if last is None or last.end is None or (earlier is not None and earlier.end is not None):
            return []
        buses = {gpu.uuid: gpu.bus for gpu in self._seen.values() if gpu.bus is not None}
        faulty = [gpu for gpu in find_faulty(last.end, last.gpus, buses) if gpu not in self._quarantine]
        if faulty:
            new = dict.fromkeys(faulty, Quarantined(last.end.why, after.id, self._clock()))
            self._save({**self._quarantine, **new})
        clear = "perdure gpus clear"
        return [Event(kind="note", text=f"{gpu} is in quarantine until `{clear} {gpu}`") for gpu in faulty]

    def list_gpus(self) -> list[GpuView]:
        machine = self._queue.machine
        return [
            self._describe(uuid) for uuid in dict.fromkeys((*(machine.gpus or ()), *self._users(), *self._quarantine))
        ]

    def clear(self, ref: str) -> GpuView:
        """Gives it to jobs again; durable when it returns. `ref` is a UUID, or the beginning of one."""
        uuid = self._find(ref)
        self._save({other: each for other, each in self._quarantine.items() if other != uuid})
        return self._describe(uuid)

    def _find(self, ref: str) -> str:
        fitting = [uuid for uuid in self._quarantine if ref and uuid.startswith(ref)]
        if len(fitting) != 1:
            there = f"In quarantine: {', '.join(self._quarantine)}." if self._quarantine else "None is in quarantine."
            raise WrongState(f"{ref!r} names no GPU in quarantine.", there, "`perdure gpus` lists all of them.")
        return fitting[0]

    def _save(self, quarantine: dict[str, Quarantined]) -> None:
        save_quarantine(self._state, quarantine)
        self._quarantine = quarantine
        self._tell_queue(self._queue.machine.gpus)

    def _tell_queue(self, gpus: Sequence[str] | None) -> None:
        known = None if gpus is None else tuple(gpus)
        machine = self._queue.machine._replace(gpus=known, quarantined=frozenset(self._quarantine))
        if machine != self._queue.machine:
            self._queue.change_machine(machine)

    def _users(self) -> dict[str, Demand]:
        return {gpu: holder for holder in self._queue.list_holders() for gpu in holder.gpus}

    def _describe(self, uuid: str) -> GpuView:
        user = self._users().get(uuid)
        seen, quarantined = self._seen.get(uuid, Gpu(uuid)), self._quarantine.get(uuid)
        return GpuView(
            uuid=uuid,
            name=seen.name,
            memory=seen.memory,
            state="quarantined" if quarantined is not None else self._name_state(uuid, user),
            job=user.id if user is not None else None,
            why=quarantined.why if quarantined is not None else None,
            since=format_time(quarantined.at) if quarantined is not None else None,
        )

    def _name_state(self, uuid: str, user: Demand | None) -> str:
        machine = self._queue.machine
        if user is not None:
            return "used"
        if uuid not in (machine.gpus or ()):
            return "gone"
        return "free" if machine.share is None or uuid in machine.share.gpus else "shared"
