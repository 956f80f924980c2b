"""The registry: what it keeps, what it refuses, and what becomes of one that is broken."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perdured.core.events import Event
from perdured.core.record import JobRecord, Starting
from perdured.state import registry as registry_module
from perdured.state.registry import (
    SCHEMA_VERSION,
    Registry,
    RegistryUnusable,
    StateTooNew,
    StoredEvent,
    open_registry,
)
from perdured.state.submission import Submission
from support.jobs import NOW, PHASES, make_record, make_spec

SCHEMA_1 = Path(__file__).parent / "fixtures" / "registry-schema-1.sql"
SUBMISSION = Submission(make_spec('name = "gpt"'), {"PATH": "/bin", "ODD": "not UTF-8: \udcff"}, "/data/run")
EVENT = Event(kind="submitted", text="submitted")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.sqlite"


@pytest.fixture
def registry(path: Path) -> Iterator[Registry]:
    registry = Registry(path)
    registry.mark_complete()
    yield registry
    registry.close()


def _ask(path: Path, question: str) -> object:
    db = sqlite3.connect(path)
    try:
        return db.execute(question).fetchone()[0]
    finally:
        db.close()


def _write(path: Path, script: str) -> None:
    db = sqlite3.connect(path)
    db.executescript(script)
    db.close()


# Keeping --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", PHASES)
def test_what_was_saved_is_loaded_by_the_next_daemon(path: Path, phase: str) -> None:
    record = make_record(PHASES[phase], attempts=3, progress=7)
    first = Registry(path)
    first.save_submission(SUBMISSION, record, [EVENT], NOW)
    first.close()
    second = Registry(path)
    assert second.load_jobs() == [(SUBMISSION, record)]
    second.close()


def test_a_start_reads_each_job_once_and_never_what_was_changed_since(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be ten thousand."""
    with closing(Registry(path)) as first:
        first.save_submission(SUBMISSION, make_record(id="a"), [], NOW)
        first.mark_complete()
    read: list[tuple[str, ...]] = []
    load = registry_module._load_job

    def count(*row: str) -> tuple[Submission, JobRecord]:
        read.append(row)
        return load(*row)

    monkeypatch.setattr(registry_module, "_load_job", count)
    with closing(Registry(path)) as second:
        assert [record.id for _, record in second.load_jobs()] == ["a"]
        assert len(read) == 1
        assert len(second.load_jobs()) == 1
        assert len(read) == 2
    with closing(Registry(path)) as third:
        third.save_submission(SUBMISSION, make_record(id="b"), [], NOW)
        assert [record.id for _, record in third.load_jobs()] == ["a", "b"]


def test_jobs_are_loaded_in_the_order_of_their_submission(registry: Registry) -> None:
    for id in ("b", "c", "a"):
        registry.save_submission(SUBMISSION, make_record(id=id), [], NOW)
    registry.save_record(make_record(id="b", failures=3), [], NOW)
    assert [record.id for _, record in registry.load_jobs()] == ["b", "c", "a"]


def test_events_are_numbered_and_read_from_any_of_them_on_for_all_or_for_one_job(registry: Registry) -> None:
    for id in ("a", "b"):
        registry.save_submission(SUBMISSION, make_record(id=id), [EVENT], NOW)
    later = Event(kind="checkpoint", text="step 5 is safe", step=5, attempt=1)
    registry.save_events("a", [later], NOW + 1)
    assert registry.load_events(1, None) == [StoredEvent(2, NOW, "b", EVENT), StoredEvent(3, NOW + 1, "a", later)]
    assert registry.load_events(1, "a") == [StoredEvent(3, NOW + 1, "a", later)]
    assert registry.load_events(3, None) == []
    assert [stored.seq for stored in registry.load_events(0, None, limit=2)] == [1, 2]


def test_the_number_of_an_event_is_never_given_again(path: Path) -> None:
    """Else one who follows along would miss what came after a removal."""
    registry = Registry(path)
    assert registry.last_event() == 0
    registry.save_submission(SUBMISSION, make_record(id="a"), [EVENT, EVENT], NOW)
    registry.forget("a")
    assert (registry.load_jobs(), registry.load_events(0, None)) == ([], [])
    registry.close()
    registry = Registry(path)
    assert registry.last_event() == 2
    registry.save_submission(SUBMISSION, make_record(id="b"), [EVENT], NOW)
    assert registry.last_event() == 3
    registry.close()


def test_a_commit_survives_a_power_cut(registry: Registry, path: Path) -> None:
    """A write-ahead log that is synced at each commit: the settings are the connection's own, so it is asked."""
    assert registry._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert registry._db.execute("PRAGMA synchronous").fetchone()[0] == 2, "2 is FULL"


def test_only_the_owner_may_read_it_for_it_holds_environments(registry: Registry, path: Path) -> None:
    registry.save_submission(SUBMISSION, make_record(), [EVENT], NOW)
    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    assert len(files) == 3
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_record_and_events_are_saved_both_or_neither(registry: Registry) -> None:
    record = make_record()
    registry.save_submission(SUBMISSION, record, [], NOW)
    with pytest.raises(sqlite3.IntegrityError):
        registry.save_record(record.but(failures=4), [EVENT], at=None)  # type: ignore[arg-type]
    assert registry.load_jobs() == [(SUBMISSION, record)]
    assert registry.load_events(0, None) == []


def test_after_a_full_disk_it_goes_on(registry: Registry) -> None:
    """A write that failed leaves no transaction open, in which all that follow would fail."""
    record = make_record()
    registry.save_submission(SUBMISSION, record, [], NOW)
    pages = registry._db.execute("PRAGMA page_count").fetchone()[0]
    registry._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        registry.save_record(record.but(reason="x" * 1_000_000), [], NOW)
    registry._db.execute(f"PRAGMA max_page_count = {pages + 1000}")
    registry.save_record(record.but(failures=1), [], NOW)
    assert registry.load_jobs() == [(SUBMISSION, record.but(failures=1))]


def test_a_commit_that_fails_is_rolled_back(registry: Registry) -> None:
    """Here because the commit itself finds a broken rule; a disk may fail at that very moment too."""
    registry._db.executescript(
        "PRAGMA foreign_keys = ON;"
        "CREATE TABLE parent (id PRIMARY KEY);"
        "CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"
    )
    with pytest.raises(sqlite3.IntegrityError), registry._transaction():
        registry._db.execute("INSERT INTO child VALUES (1)")
    registry.save_submission(SUBMISSION, make_record(), [], NOW)
    assert len(registry.load_jobs()) == 1


# Schema 1, for ever ---------------------------------------------------------------------------------------------------


def test_a_registry_of_schema_1_is_read(path: Path) -> None:
    _write(path, SCHEMA_1.read_text(encoding="utf-8"))
    registry, aside = open_registry(path)
    jobs = registry.load_jobs()
    events = registry.load_events(0, None)
    registry.close()
    assert aside is None
    known = [phase for phase in PHASES if phase != "parked_in_place"]
    assert [record.phase.kind for _, record in jobs] == known
    submission, running = jobs[2]
    assert submission.env == {"PATH": "/bin", "NAME": "a 'b' é\udcff"}
    assert (running.id, running.wish, running.progress, running.attempts[0].resumed_from_step) == (
        "job2runn",
        "restart",
        200,
        100,
    )
    spec = jobs[1][0].spec
    assert (spec.name, spec.checkpoint.every.steps, spec.restart.backoff.longest, spec.stop.signal) == (
        "gpt",
        500,
        600.0,
        "SIGUSR1",
    )
    assert isinstance(jobs[1][1].phase, Starting)
    failed = jobs[8][1].attempts[1]
    assert (failed.exit_code, failed.signal, failed.cause, failed.why) == (None, 9, "signal", "killed by signal 9")
    assert len(events) == 2 * len(known)
    assert events[-1].event == Event(kind="failed", text="it is failed", attempt=1, step=5)


# Newer, broken, unusable ----------------------------------------------------------------------------------------------


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}


def test_a_newer_schema_is_refused_in_three_lines_and_nothing_is_touched(path: Path) -> None:
    registry = Registry(path)
    registry.save_submission(SUBMISSION, make_record(), [EVENT], NOW)
    registry._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    registry.close()
    before = _files(path.parent)
    with pytest.raises(StateTooNew) as refused:
        open_registry(path)
    lines = str(refused.value).splitlines()
    assert len(lines) == 3
    assert f"schema {SCHEMA_VERSION + 1}" in lines[0]
    assert "--state-dir" in lines[2]
    assert _files(path.parent) == before


def test_a_newer_schema_is_seen_and_spared_also_in_a_journal_that_a_killed_daemon_left(
    path: Path, tmp_path: Path
) -> None:
    """Opening such a database for writing, and closing it, would carry the journal over into the file."""
    living = Registry(path)
    living.mark_complete()
    living._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    living._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in (path.name, path.name + "-wal"):
        shutil.copy(path.with_name(name), killed / name)
    living.close()
    before = _files(killed)
    assert len(before[path.name + "-wal"]) > 0
    with pytest.raises(StateTooNew):
        open_registry(killed / path.name)
    assert _files(killed) == before


def _break_text(path: Path) -> None:
    path.write_bytes(b"this is no database, and longer than the header of one would be; " * 20)


def _break_pages(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * (size - size // 2))


def _break_row(path: Path) -> None:
    _write(path, "UPDATE jobs SET record = '{\"id\": 3}'")


def _break_json(path: Path) -> None:
    _write(path, "UPDATE jobs SET env = '{'")


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 7)


BREAKS = [_break_text, _break_pages, _break_row, _break_json, _truncate]


@pytest.mark.parametrize("damage", BREAKS, ids=lambda damage: damage.__name__.strip("_"))
def test_a_broken_registry_is_set_aside_whole_and_a_new_one_is_to_be_filled(path: Path, damage: object) -> None:
    registry = Registry(path)
    registry.mark_complete()
    for n in range(50):
        registry.save_submission(SUBMISSION, make_record(id=f"job{n}"), [EVENT], NOW)
    registry.close()
    assert callable(damage)
    damage(path)
    broken = path.read_bytes()
    registry, aside = open_registry(path)
    assert (registry.is_complete, registry.load_jobs()) == (False, [])
    registry.close()
    assert aside is not None
    assert aside.read_bytes() == broken


def test_the_journal_of_a_broken_registry_is_kept_beside_it_and_never_read_into_the_new_one(path: Path) -> None:
    path.write_bytes(b"no database " * 100)
    path.with_name(path.name + "-wal").write_bytes(b"its journal")
    registry, aside = open_registry(path)
    registry.close()
    assert aside is not None
    assert aside.with_name(aside.name + "-wal").read_bytes() == b"its journal"


def test_a_second_broken_registry_does_not_replace_the_first(path: Path) -> None:
    kept = []
    for text in (b"first " * 100, b"second " * 100):
        path.write_bytes(text)
        registry, aside = open_registry(path)
        registry.close()
        assert aside is not None
        kept.append((aside, text))
    assert [aside.read_bytes() for aside, _ in kept] == [text for _, text in kept]


def test_a_registry_that_the_disk_withholds_is_not_taken_for_a_broken_one(tmp_path: Path) -> None:
    """It may be all right: setting it aside would forget the events and the failures of every job."""
    path = tmp_path / "registry.sqlite"
    path.mkdir()
    with pytest.raises(RegistryUnusable) as unusable:
        open_registry(path)
    assert len(str(unusable.value).splitlines()) == 3
    assert path.is_dir()


def test_a_registry_that_somebody_else_has_locked_is_not_taken_for_a_broken_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(path)
    registry.close()
    monkeypatch.setattr(
        sqlite3, "connect", lambda *a, _real=sqlite3.connect, **named: _real(*a, **(named | {"timeout": 0}))
    )
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("PRAGMA locking_mode = EXCLUSIVE")
    locker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RegistryUnusable, match="locked"):
        open_registry(path)
    locker.close()
    assert [file.name for file in path.parent.iterdir() if "broken" in file.name] == []


# Complete -------------------------------------------------------------------------------------------------------------


def test_a_new_registry_is_not_complete_until_that_is_said(path: Path) -> None:
    registry = Registry(path)
    assert not registry.is_complete
    registry.save_submission(SUBMISSION, make_record(), [], NOW)
    registry.close()
    registry = Registry(path)
    assert not registry.is_complete
    registry.mark_complete()
    registry.close()
    registry = Registry(path)
    assert registry.is_complete
    registry.close()


def test_an_empty_file_is_not_complete(path: Path) -> None:
    path.touch()
    registry, aside = open_registry(path)
    assert (registry.is_complete, aside) == (False, None)
    registry.close()


def test_the_version_is_in_the_file(registry: Registry, path: Path) -> None:
    assert _ask(path, "PRAGMA user_version") == SCHEMA_VERSION == 2
