"""What somebody says to the daemon itself: a signal. In a pod, that is all there is to hear.

A signal says neither why nor how long: the time is the grace that the settings name, or a guess. It cannot be
withdrawn. A second one says nothing new and never shortens a save.
"""

from __future__ import annotations

import asyncio

from perdured.core.notices.notice import Notice, SourceName, make_notice_id
from perdured.core.notices.status import SourceStatus

from .eyes import Eyes, Report, Tell

GUESS = 30.0
"""Seconds: what Kubernetes gives, and Slurm, where nobody set anything else."""


class Spoken:
    """`name` is "kubernetes" in a pod, where SIGTERM is the word that it ends, and "signal" elsewhere."""

    def __init__(self, name: SourceName, signal: str, grace: float | None, eyes: Eyes) -> None:
        self.name = name
        self._signal = signal
        self._grace = grace
        self._eyes = eyes
        self._heard: tuple[Notice, ...] = ()
        self._tell: Tell | None = None

    async def watch(self, tell: Tell) -> None:
        self._tell = tell
        self._report()
        await asyncio.get_running_loop().create_future()

    def hear(self, signal: str) -> None:
        """On the event loop."""
        look = self._eyes.look()
        if not self._heard:
            notice = Notice(
                id=make_notice_id(self.name, signal, f"{look.at:.3f}"),
                kind="terminate",
                source=self.name,
                why=f"told by {signal} to end",
                deadline=look.at + (self._grace if self._grace is not None else GUESS),
                sureness="guess" if self._grace is None else "ceiling",
                follows="kill",
                disk="unknown" if self.name == "kubernetes" else "kept",
                withdrawable=False,
                received_at=look.at,
                boot_id=look.boot_id,
                raw=signal,
            )
            self._heard = (notice,)
        self._report()

    def _report(self) -> None:
        if self._tell is None:
            return
        if self._grace is not None:
            status = SourceStatus(self.name, "works", f"{self._signal}, and {self._grace:g} s from there")
        elif self.name == "kubernetes":
            why = f"nobody says how long the pod's grace is, {GUESS:g} s are assumed: set notices.grace"
            status = SourceStatus(self.name, "blind", why)
        else:
            status = SourceStatus(self.name, "works", f"{self._signal}, and {GUESS:g} s from there as a guess")
        # Another pod after it has heard nothing of what ended the first; another daemon goes on under the same word.
        self._tell(Report(status, self._heard, is_whole=self.name == "kubernetes"))
