"""What earlier versions left on the disk, and what their keepers and jobs said, is understood by this one.

`kept/VERSION` was made by that version itself (`tests/support/keep_version.py`) and is never changed.
"""

from __future__ import annotations

import json
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from perdured.core.decide import decide
from perdured.core.observation import Observation
from perdured.core.record import RESTING, JobRecord
from perdured.keeper import records, talk
from perdured.processes import observe_attempt
from perdured.processes.link import parse_status
from perdured.state.paths import StateDir
from perdured.state.rebuild import rebuild_registry
from perdured.state.registry import SCHEMA_VERSION, Registry, open_registry
from support.daemons import Daemon, wait_for
from support.keep_version import ROOT

KEPT = Path(__file__).parent / "kept"
STATES = {"succeeded", "failed", "waiting", "stopped", "parked", "running"}
"""And the names of the jobs that are in them."""


def load_state(version: Path, root: Path) -> StateDir:
    """The kept state directory, as if it had been at `root` all the time."""
    state = StateDir(root / "state")
    (root / "work").mkdir()
    for path in version.rglob("*"):
        if path.is_file():
            copy = state.root / path.relative_to(version)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text().replace(str(ROOT), str(root)))
    db = sqlite3.connect(state.registry)
    db.executescript((state.root / "registry.sql").read_text())
    db.close()
    return state


@pytest.fixture(params=sorted(KEPT.iterdir()), ids=lambda version: version.name)
def state(request: pytest.FixtureRequest, tmp_path: Path) -> StateDir:
    return load_state(request.param, tmp_path)


def by_name(registry: Registry) -> dict[str, JobRecord]:
    return {record.name: record for _, record in registry.load_jobs()}


def test_its_registry_is_read_and_is_of_this_version_from_then_on(state: StateDir) -> None:
    for _ in range(2):
        registry, aside = open_registry(state.registry)
        assert aside is None
        assert {name: record.phase.kind for name, record in by_name(registry).items()} == {s: s for s in STATES}
        assert registry.load_events(0, None)
        assert registry.is_complete
        registry.close()
    db = sqlite3.connect(state.registry)
    assert db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    db.close()


def test_its_job_directories_make_up_for_a_lost_registry(state: StateDir, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "new.sqlite")
    assert rebuild_registry(registry, state, 2e9) == len(STATES)
    found = by_name(registry)
    registry.close()
    registry, _ = open_registry(state.registry)
    kept = by_name(registry)
    registry.close()
    for name, record in found.items():
        if name in RESTING:
            assert record == kept[name]
        assert len(record.attempts) == len(kept[name].attempts)
        assert (record.id, record.submitted_at) == (kept[name].id, kept[name].submitted_at)


def test_each_of_its_jobs_can_be_decided_on(state: StateDir) -> None:
    registry, _ = open_registry(state.registry)
    for submission, record in registry.load_jobs():
        number = record.last_attempt.number if record.last_attempt else 1
        seen = observe_attempt(state.attempt(record.id, number))
        decision = decide(submission.spec, record, Observation(attempt=seen), record.submitted_at + 100)
        if record.phase.kind in RESTING:
            assert decision.record == record
        assert all(attempt.started_at is not None for attempt in record.attempts)
    registry.close()


def test_the_files_of_its_attempts_are_understood(state: StateDir) -> None:
    attempts = sorted(state.jobs.glob("*/attempts/*"))
    assert len(attempts) >= len(STATES) + 1
    ends = 0
    for attempt in attempts:
        want, run, exit = records.load_want(attempt), records.load_run(attempt), records.load_exit(attempt)
        assert want.argv[0] == "python3"
        assert run is not None
        ends += exit is not None
        stop = records.load_stop(attempt)
        assert (stop is not None) == (exit is not None and exit.stop_reason is not None)
    assert ends == len(attempts) - 1, "all but the one that runs have ended"


def test_what_its_keeper_tells_is_understood(state: StateDir) -> None:
    status = parse_status(json.loads((state.root / "status.json").read_text()))
    assert (status.step or 0) >= 3
    assert status.pulse is not None
    assert status.pace is not None
    assert status.exit is None


def test_what_its_jobs_tell_is_understood(state: StateDir) -> None:
    told = talk.Told()
    hello, *words = (json.loads(line) for line in (state.root / "job.jsonl").read_text().splitlines())
    assert talk.parse_hello(hello, "nonce").role == "job"
    for now, message in enumerate(words):
        told = talk.hear_job(told, message, 1, 1e9 + now)
    assert (told.step, told.checkpoint_step) == (4, 4)
    assert told.pulse is not None


def test_a_daemon_takes_its_state_directory_up(state: StateDir, daemon: Daemon) -> None:
    """Those at rest are left alone, what was parked goes on, and so does what waited, whose time was over long ago; of
    what ran the process is gone, and the next attempt follows."""
    daemon.state = state.root
    daemon.start()
    shown = {job["name"]: job for job in daemon.client.list_jobs(everything=True)}
    assert set(shown) == STATES
    for name in ("succeeded", "failed", "stopped"):
        assert shown[name]["state"] == name
    for name in ("parked", "running", "waiting"):
        wait_for(partial(goes_on, daemon, shown[name]["id"]), f"{name} to go on")


def goes_on(daemon: Daemon, job: str) -> bool:
    return len(daemon.show(job)["attempts"]) >= 2
