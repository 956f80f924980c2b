"""Looks at the disturbed job: what the daemon says of it, what the job prints, what happened meanwhile."""

from __future__ import annotations

from perdured.client import Client
from perdured.contract.checkpoint.store import list_checkpoints
from perdured.errors import NoDaemon, PerdureError
from perdured.wire import Attempt, Job

from .display import Bar, Display
from .outcome import Ending
from .progress import Progress, Tail
from .script import Moment
from .stage import Stage

SILENT = ("checkpoint",)
"""Kinds of event that are too many to tell."""


class Watch:
    """What is known; `look` brings it up to date. While the daemon is dead, the job's own output goes on telling."""

    def __init__(self, client: Client, stage: Stage, job: Job, display: Display) -> None:
        self._client = client
        self._stage = stage
        self._display = display
        self._seen_events = 0
        self._tails: dict[int, Tail] = {}
        self._newest: dict[int, Progress] = {}
        self.job = job
        self.losses: dict[int, float] = {}
        """By step; those of a step that was done twice are the same, or else the demo fails at its end."""

    def look(self) -> Moment:
        try:
            self._hear()
            self.job = self._client.show(self.job["id"])
        except NoDaemon:
            pass
        self._read_output()
        return self._describe()

    def _hear(self) -> None:
        page = self._client.list_events(self._seen_events, self.job["id"])
        self._seen_events = page["next"]
        for event in page["events"]:
            if event["kind"] not in SILENT:
                self._display.say(event["text"].replace(f"{self._stage.root}/", ""), "told")

    def _read_output(self) -> None:
        for attempt in self.job["attempts"]:
            number = attempt["number"]
            tail = self._tails.setdefault(number, Tail(self._stage.state.output(self.job["id"], number)))
            for progress in tail.read_progress():
                self._newest[number] = progress
                self.losses[progress.step] = progress.loss

    def _describe(self) -> Moment:
        last: Attempt | None = self.job["attempts"][-1] if self.job["attempts"] else None
        number = last["number"] if last else 0
        progress = self._newest.get(number)
        return Moment(
            state=self.job["state"],
            attempt=number,
            pid=last["pid"] if last else None,
            step=progress.step if progress else None,
            resumed_from=last["resumed_from_step"] if last else None,
            checkpoints=len(list_checkpoints(self._stage.disturbed)),
            told_step=self.job["step"] if self.job["loss"] is not None else None,
        )

    @property
    def total(self) -> int:
        return next((progress.total for progress in self._newest.values()), 0)

    def find_ending(self, number: int) -> Ending | None:
        """How that attempt ended; None while it has not."""
        attempt = next(each for each in self.job["attempts"] if each["number"] == number)
        if attempt["ended_at"] is None:
            return None
        newest = self._newest.get(number)
        return Ending(attempt["exit_code"], attempt["signal"], newest.step if newest else 0)

    def check_alive(self) -> None:
        """Raises PerdureError once the job has come to rest without being done."""
        if self.job["state"] in ("failed", "stopped", "parked"):
            log = self.job["log"] or self._stage.root
            raise PerdureError(f"The disturbed job {self.job['state']}.", self.job["reason"], f"Its output is {log}.")

    def draw(self, moment: Moment) -> Bar:
        note = moment.state + (f", attempt {moment.attempt}" if moment.attempt > 1 else "")
        step = moment.step or moment.resumed_from or 0
        losses = [self.losses[each] for each in sorted(self.losses) if each <= step]
        return Bar("disturbed", step, self.total, losses, note)
