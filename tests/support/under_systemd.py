"""A real `perdured` as a service of a real service manager, and a job that a test can look at from outside."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from perdured.core.record import JobRecord
from perdured.state.paths import StateDir
from perdured.state.registry import open_registry

from .daemons import BIN, wait_for

SAVES = """
import signal, sys, time
def save(*_):
    time.sleep({seconds})
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True:
    signal.pause()
"""
"""A job that takes so long to save."""


class Manager(Protocol):
    def run(self, *command: str) -> str: ...

    def control(self, *arguments: str) -> str: ...


class Running:
    """A manager that runs the daemon, and a job in it."""

    def __init__(self, manager: Manager, state: Path) -> None:
        self.manager = manager
        self.state = state

    def submit(self, code: str) -> None:
        """A job named `job`."""
        self.perdure("submit", "--name", "job", "--", sys.executable, "-c", code)

    def start_job(self, seconds_to_save: float = 0.0) -> None:
        """Returns when it runs."""
        self.submit(SAVES.format(seconds=seconds_to_save))
        wait_for(lambda: self.output() == ["ready\n"], "the job to run")

    def perdure(self, *arguments: str) -> str:
        return self.manager.run(str(BIN / "perdure"), *arguments)

    def show(self) -> dict[str, Any]:
        shown = self.perdure("show", "job", "--json")
        return json.loads(shown) if shown else {}

    def pid(self) -> int:
        attempts = self.show().get("attempts") or [{}]
        return attempts[-1].get("pid") or 0

    def is_alive(self, pid: int) -> bool:
        return self.manager.run("kill", "-0", str(pid)) == "" and self.manager.run("cat", f"/proc/{pid}/comm") != ""

    def output(self) -> list[str]:
        """What each attempt has printed."""
        return [log.read_text() for log in self._find("output.log")]

    def run_record(self) -> dict[str, Any]:
        """The newest attempt's."""
        records = self._find("run.json")
        record = json.loads(records[-1].read_text()) if records else {}
        assert isinstance(record, dict)
        return record

    def exit_records(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in self._find("exit.json")]

    def _find(self, name: str) -> list[Path]:
        return sorted(self.state.glob(f"jobs/*/attempts/*/{name}"))

    def unit(self) -> str:
        """Of the newest attempt's keeper."""
        attempt = self._find("want.json")[-1].parent
        return f"perdure-keeper-{attempt.parts[-3]}-{attempt.name}.service"

    def load_jobs(self) -> list[JobRecord]:
        """What the registry holds once no daemon is there any more."""
        with tempfile.TemporaryDirectory() as folder:  # SQLite does not follow a path into another root
            for part in self.state.glob("registry.sqlite*"):
                shutil.copy(part, folder)
            registry, _ = open_registry(StateDir(Path(folder)).registry)
            with closing(registry):
                return [record for _, record in registry.load_jobs()]

    def property(self, name: str, unit: str = "perdured") -> str:
        return self.manager.control("show", unit, "--property", name, "--value")

    def find_unit_of(self, pid: int) -> str:
        """The innermost unit whose cgroup a process is in."""
        path = self.manager.run("cat", f"/proc/{pid}/cgroup")
        units = re.findall(r"[^/\s]+\.(?:service|scope)(?=[/\s]|$)", path)
        return units[-1] if units else ""


def change(unit: str, changes: Mapping[str, str]) -> str:
    """A unit's text with what a test has to have otherwise."""
    for own, of_the_test in changes.items():
        assert own in unit
        unit = unit.replace(own, of_the_test)
    return unit
