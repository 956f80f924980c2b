"""What is seen of a job during a drill."""

from __future__ import annotations

import contextlib

from perdured.client import Client
from perdured.clock import read_uptime
from perdured.core.drill import Moment
from perdured.errors import NoDaemon
from perdured.wire import Job


class Sight:
    """Looks at one job. While the daemon does not answer, what was known last stands."""

    def __init__(self, client: Client, ref: str) -> None:
        self._client = client
        self.job: Job = client.show(ref)
        self._struck = len(self.job["attempts"])
        """The number of the attempt that is struck; they are numbered without a gap."""
        self._began = read_uptime()

    @property
    def seconds(self) -> float:
        """Since the strike."""
        return read_uptime() - self._began

    def begin(self) -> Moment:
        """The last look before the strike: times count from here, and the attempt that runs now is the one struck."""
        now = self.look()
        self._struck, self._began = now.attempt, read_uptime()
        return now._replace(at=0.0)

    def look(self, *, has_room: bool = True) -> Moment:
        daemon: int | None = None
        with contextlib.suppress(NoDaemon):
            self.job = self._client.show(self.job["id"])
            daemon = self._client.health()["pid"]
        return self._describe(daemon)._replace(has_room=has_room)

    def _describe(self, daemon: int | None) -> Moment:
        job = self.job
        newest = job["attempts"][-1] if job["attempts"] else None
        struck = next((each for each in job["attempts"] if each["number"] == self._struck and each["ended_at"]), None)
        return Moment(
            at=self.seconds,
            state=job["state"],
            attempt=newest["number"] if newest else 0,
            pid=newest["pid"] if newest else None,
            step=job["step"],
            checkpoint=job["checkpoint"]["path"] if job["checkpoint"] else None,
            resumed_from=newest["resumed_from_step"] if newest else None,
            struck_step=struck["step"] if struck else None,
            struck_cause=struck["cause"] if struck else None,
            daemon=daemon,
        )
