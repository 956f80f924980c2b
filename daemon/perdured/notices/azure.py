"""Looks at the scheduled events of Azure, once a second as Azure advises.

The first request of a machine turns the service on and may take two minutes to be answered, so it is made when the
daemon starts and given that time. To approve an event lets it begin at once, for every machine that it names.
"""

from __future__ import annotations

import json

from perdured.core.notices.answer import Failed, expect_ok
from perdured.core.notices.azure import parse_events, parse_machine_name
from perdured.core.notices.notice import Notice, SourceName

from .eyes import Eyes, Tell
from .parts import Kind, Part, watch_parts
from .web import Request, fetch

EVENTS = "metadata/scheduledevents?api-version=2020-07-01"
COMPUTE = "metadata/instance/compute?api-version=2021-02-01&format=json"
HEADERS = {"Metadata": "true"}
WITHIN = 2.0
FIRST_WITHIN = 150.0


class Azure:
    name: SourceName = "azure"

    def __init__(self, url: str, eyes: Eyes) -> None:
        self._url = url
        self._eyes = eyes
        self._machine: str | None = None
        self._is_enabled = False

    async def watch(self, tell: Tell) -> None:
        part = Part("events", 1.0, self._look)
        await watch_parts(
            Kind(self.name, lambda: f"scheduled events of {self._machine}"), [part], tell, self._eyes.haste
        )

    async def approve(self, notice: Notice) -> None:
        """Raises Failed where that was not taken."""
        body = json.dumps({"StartRequests": [{"EventId": notice.id.removeprefix("azure-")}]}).encode()
        headers = {**HEADERS, "Content-Type": "application/json"}
        expect_ok(await fetch(Request("POST", f"{self._url}/{EVENTS}", headers, body), WITHIN))

    async def _look(self) -> tuple[Notice, ...]:
        if self._machine is None:
            self._machine = parse_machine_name(await fetch(Request("GET", f"{self._url}/{COMPUTE}", HEADERS), WITHIN))
        within = WITHIN if self._is_enabled else FIRST_WITHIN
        answer = await fetch(Request("GET", f"{self._url}/{EVENTS}", HEADERS), within)
        if answer.status == 400:
            raise Failed("the scheduled events are not served (400)")
        notices = parse_events(answer, self._eyes.look(answer), self._machine)
        self._is_enabled = True
        return notices
