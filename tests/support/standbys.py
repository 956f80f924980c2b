"""For tests of standbys: the same command started afresh and by a standby, and what both have to say."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from perdured.keeper import records
from perdured.processes import Order, StandbyOrder, start_keeper, start_standby
from support.processes import CEILING, make_order, run, tidy, wait_for_end


class Outcome(NamedTuple):
    status: int | None
    """Negative for a signal."""
    output: str

    @property
    def told(self) -> Any:
        return json.loads(self.output.splitlines()[-1])


def make_standby_order(root: Path, command: Sequence[str], *preload: str, **env: str) -> StandbyOrder:
    return StandbyOrder(
        directory=root / "standby",
        job="job",
        argv=tuple(command),
        env=make_environment(**env),
        workdir=str(root / "work"),
        preload=preload,
    )


def make_environment(**env: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "TEST_RUN_MARK": os.environ["TEST_RUN_MARK"], **env}


def make_attempt(root: Path, number: int, command: Sequence[str], **env: str) -> Order:
    order = make_order(root / "attempts" / str(number), *command)
    own = {"ONLY_AT_GO": "1", **env}
    return replace(order, attempt=number, workdir=str(root / "work"), env=order.env | own)


async def start_by_standby(
    root: Path, command: Sequence[str], *preload: str, extra: Sequence[str] = (), **env: str
) -> None:
    """Returns when the attempt runs."""
    standby = await start_standby(make_standby_order(root, command, *preload, **env))
    started = await start_keeper(make_attempt(root, 2, [*command, *extra], **env), early=standby)
    assert started.stood_by


def take_outcome(root: Path, number: int, ceiling: float = CEILING) -> Outcome:
    directory = root / "attempts" / str(number)
    exit = wait_for_end(directory, ceiling)
    status = -exit.signal if exit.signal is not None else exit.exit_code
    output = (directory / records.OUTPUT_LOG).read_text()
    tidy(directory)
    return Outcome(status, output)


def run_both(
    root: Path, command: Sequence[str], *preload: str, ceiling: float = CEILING, **env: str
) -> tuple[Outcome, Outcome]:
    """Afresh, and by a standby."""
    run(start_keeper(make_attempt(root, 1, command, **env)), ceiling)
    fresh = take_outcome(root, 1, ceiling)
    run(start_by_standby(root, command, *preload, **env), ceiling)
    return fresh, take_outcome(root, 2, ceiling)


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


def find_waiting(root: Path) -> list[int]:
    """The processes of the standby, by the nonce in their environment."""
    try:
        mark = f"PERDURE_ATTEMPT_NONCE={records.load_want(root / 'standby').nonce}".encode()
    except FileNotFoundError:
        return []
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if mark in _read_environment(path)]


def _read_environment(path: Path) -> list[bytes]:
    try:
        return (path / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
