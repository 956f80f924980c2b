"""Runs the helper process of the remote tier, and looks at what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from perdured.contract.checkpoint import format_name, parse_name, parse_sealed
from perdured.contract.checkpoint.layout import CheckpointName
from perdured.remote.__main__ import perform
from perdured.remote.orders import REPORT, Done, Failed, Moved, Note, Order, Report, Term
from support.s3 import Bucket, Proxy, Request
from support.stores import payload_of


@dataclass
class Machine:
    """A local directory of checkpoints, with a bucket behind a proxy."""

    root: Path
    bucket: Bucket
    proxy: Proxy
    keep: int = 3
    limit: int | None = None
    env: dict[str, str] = field(default_factory=dict)
    url: str = ""
    """Instead of the bucket's."""
    job: str = "job"
    name: str = "gpt"
    takes_over: bool = False
    is_fresh: bool = False
    term: Term | None = None

    @property
    def record(self) -> Path:
        return self.root.with_name(self.root.name + ".remote.json")

    def order(self, verb: Literal["push", "pull"]) -> Order:
        return Order(
            verb=verb,
            url=self.url or self.bucket.url,
            job=self.job,
            name=self.name,
            takes_over=self.takes_over,
            is_fresh=self.is_fresh,
            root=str(self.root),
            record=str(self.record),
            keep=self.keep,
            limit=self.limit,
            term=self.term,
        )

    def start(self, verb: Literal["push", "pull"]) -> subprocess.Popen[bytes]:
        env = {**os.environ, **self.bucket.env(self.proxy.url), **self.env}
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "perdured.remote"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(self.order(verb).model_dump_json().encode() + b"\n")
        process.stdin.flush()
        return process

    def run(self, verb: Literal["push", "pull"]) -> list[Report]:
        process = self.start(verb)
        assert process.stdout is not None
        with process:
            lines = process.stdout.read().splitlines()
        assert process.returncode == 0
        return [REPORT.validate_json(line) for line in lines]

    def push(self) -> list[Report]:
        return self.run("push")

    def pull(self) -> list[Report]:
        return self.run("pull")

    def run_here(self, verb: Literal["push", "pull"]) -> list[Report]:
        """In this process, which is quicker; it needs the bucket's environment (`here`)."""
        reports: list[Report] = []
        reports.append(perform(self.order(verb), reports.append))
        return reports

    def run_killed(self, verb: Literal["push", "pull"], number: int, when: Literal["before", "after"]) -> bool:
        """SIGKILL when request `number` arrives, or once it was done; False if there are not so many."""
        process = self.start(verb)
        assert process.stdout is not None
        last = len(self.proxy.seen) + number

        def kill(request: Request) -> None:
            if request.number == last:
                process.kill()

        self.proxy.before, self.proxy.after = (kill, _nothing) if when == "before" else (_nothing, kill)
        with process:
            process.stdout.read()
        self.proxy.before = self.proxy.after = _nothing
        return process.returncode == -signal.SIGKILL

    def on_remote(self) -> list[int]:
        """The steps that are committed there and hold the right bytes; fails on one that does not."""
        found = []
        objects = self.bucket.objects()
        for key in objects:
            folder, _, rest = key.partition("/")
            name = parse_name(folder)
            if name is not None and rest == "COMMIT":
                check_whole(objects, name)
                found.append(name.step)
        return sorted(found)


def _nothing(request: Request) -> None:
    """Let it pass."""


def check_whole(objects: dict[str, bytes], name: CheckpointName) -> None:
    folder = format_name(name)
    held = {key.removeprefix(f"{folder}/"): data for key, data in objects.items() if key.startswith(f"{folder}/")}
    sealed = parse_sealed(name, held.pop("MANIFEST.json"), held.pop("COMMIT"))
    assert held == dict(payload_of(sealed.name.step)), f"{folder} has COMMIT and is not whole"


def moved(reports: list[Report]) -> list[int]:
    return [report.step for report in reports if isinstance(report, Moved)]


def notes(reports: list[Report]) -> str:
    return "\n".join(report.text for report in reports if isinstance(report, Note))


def failure(reports: list[Report]) -> Failed:
    last = reports[-1]
    assert isinstance(last, Failed), reports
    return last


def is_done(reports: list[Report]) -> bool:
    return isinstance(reports[-1], Done)
