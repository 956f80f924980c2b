"""The verbs on the queue as a whole: on groups, and on GPUs."""

from __future__ import annotations

from perdured.errors import NoSuchJob
from perdured.queue_view import GpuView, GroupView
from perdured.state.groups import load_paused, save_paused
from perdured.state.paths import StateDir

from .gpus import Gpus
from .queue import Queue
from .sharing import Sharing


class Desk:
    def __init__(self, state: StateDir, queue: Queue, gpus: Gpus) -> None:
        self._state = state
        self._queue = queue
        self._gpus = gpus
        self.sharing = Sharing(queue)
        """With the daemons of other users."""

    def take_up(self) -> None:
        """What was paused still is, and what was in quarantine."""
        self._queue.change_machine(self._queue.machine._replace(paused=load_paused(self._state)))
        self._gpus.take_up()

    async def list_gpus(self) -> list[GpuView]:
        """As the driver tells of them now."""
        await self._gpus.look()
        return self._gpus.list_gpus()

    def clear_gpu(self, ref: str) -> GpuView:
        """Gives a GPU in quarantine to jobs again. Raises WrongState where it is in none."""
        return self._gpus.clear(ref)

    def list_groups(self) -> list[GroupView]:
        return [self._describe(group) for group in sorted(self._queue.list_groups())]

    def pause_group(self, group: str) -> GroupView:
        """Durable when it returns. What runs of it saves and steps aside; raises NoSuchJob where it has no jobs."""
        self._refuse_unknown(group)
        return self._set_paused(group, self._queue.machine.paused | {group})

    def resume_group(self, group: str) -> GroupView:
        self._refuse_unknown(group)
        return self._set_paused(group, self._queue.machine.paused - {group})

    def _set_paused(self, group: str, paused: frozenset[str]) -> GroupView:
        if paused != self._queue.machine.paused:
            save_paused(self._state, paused)
            self._queue.change_machine(self._queue.machine._replace(paused=paused))
        return self._describe(group)

    def _refuse_unknown(self, group: str) -> None:
        known = self._queue.list_groups()
        if group not in known:
            there = f"There are: {', '.join(sorted(known))}." if known else "No job that is not at rest has a group."
            raise NoSuchJob(f"There is no group {group!r}.", there, "Give a job one with `group` in its spec.")

    def _describe(self, group: str) -> GroupView:
        members = self._queue.list_members(group)
        running = sum(member.has_place for member in members)
        return GroupView(
            name=group,
            paused=group in self._queue.machine.paused,
            running=running,
            waiting=len(members) - running,
        )
