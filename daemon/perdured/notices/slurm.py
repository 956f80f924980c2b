"""Asks Slurm's controller when the job, in which all this runs, will end: now and then, and at each signal.

A preemption may come with no signal at all for a process that was not started by `srun`; the end that the controller
tells moves all the same. So it is asked, not waited for.
"""

from __future__ import annotations

from collections.abc import Mapping

from perdured.core.notices.answer import Failed
from perdured.core.notices.notice import Notice, SourceName
from perdured.core.notices.slurm import (
    EVERY,
    Preemption,
    SlurmJob,
    choose_pause,
    find_notices,
    parse_job,
    parse_partition,
    say_listening,
)
from perdured.processes.asking import NoReply, ask_program

from .eyes import Eyes, Tell
from .parts import Kind, Part, watch_parts

WITHIN = 10.0


class Slurm:
    name: SourceName = "slurm"

    def __init__(self, job: str, eyes: Eyes, env: Mapping[str, str]) -> None:
        self._job = job
        self._eyes = eyes
        # Times without a zone, in a form that a site can choose: asked for in UTC and in the usual one.
        self._env = {**env, "TZ": "UTC0", "SLURM_TIME_FORMAT": "standard"}
        self._part = Part("end", EVERY, self._look)
        self._seen: SlurmJob | None = None
        self._preemption: Preemption | None = None

    @property
    def pause(self) -> float:
        """Seconds between two questions, as far as it has seen what a preemption leaves."""
        return self._part.every

    async def watch(self, tell: Tell) -> None:
        await watch_parts(Kind(self.name, self._say), [self._part], tell, self._eyes.haste)

    async def look_now(self) -> bool:
        """Whether the controller answers."""
        try:
            await self._look()
        except Failed:
            return False
        self._part.wake.set()
        return True

    async def _look(self) -> tuple[Notice, ...]:
        text = await self._ask("job", self._job)
        before, self._seen = self._seen, parse_job(text)
        if self._preemption is None or before is None or before.partition != self._seen.partition:
            self._preemption = await self._look_at_partition(self._seen.partition)
            self._part.every = choose_pause(self._preemption or Preemption())
        return find_notices(self._seen, self._eyes.look(), text)

    async def _look_at_partition(self, name: str) -> Preemption | None:
        """None where that cannot be seen now: the end of the job is what counts."""
        try:
            return parse_partition(await self._ask("partition", name))
        except Failed:
            return None

    async def _ask(self, what: str, name: str) -> str:
        try:
            return await ask_program(["scontrol", "show", what, "-o", name], self._env, WITHIN)
        except NoReply as error:
            raise Failed(str(error)) from None

    def _say(self) -> str:
        assert self._seen is not None
        return say_listening(self._seen, self._preemption or Preemption())
