"""Asks Slurm's controller when the job, in which all this runs, will end, four times a minute and at each signal.

A preemption may come with no signal at all for a process that was not started by `srun`; the end that the controller
tells moves all the same. So it is asked, not waited for.
"""

from __future__ import annotations

from collections.abc import Mapping

from perdured.core.notices.answer import Failed
from perdured.core.notices.notice import Notice, SourceName
from perdured.core.notices.slurm import SlurmJob, find_notices, parse_job
from perdured.processes.asking import NoReply, ask_program

from .eyes import Eyes, Tell
from .parts import Kind, Part, watch_parts

EVERY = 15.0
"""Seconds. Each question is one call to the controller of the whole cluster."""
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
        try:
            text = await ask_program(["scontrol", "show", "job", "-o", self._job], self._env, WITHIN)
        except NoReply as error:
            raise Failed(str(error)) from None
        self._seen = parse_job(text)
        return find_notices(self._seen, self._eyes.look(), text)

    def _say(self) -> str:
        assert self._seen is not None
        again = "it is queued again when it is preempted" if self._seen.requeues else "it is not queued again"
        return f"the end of job {self._job}; {again}"
