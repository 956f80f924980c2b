"""What was asked and decided, in SQLite. An index, never the only truth: `rebuild` makes it anew from the
job directories, and no checkpoint is known only here.

WAL with synchronous=FULL, so a commit that returned survives a power cut. A newer version's schema is refused, not
guessed at; an older one's is read, and is this version's from then on. A file that is no database any more, or whose
rows make no sense, is set aside under a name of its own and never deleted. The schema's version is written last, when
every job on the disk has been taken in: a registry without it is filled again.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from perdured.contract.durable import rename_noreplace
from perdured.core.events import Event
from perdured.core.record import JobRecord
from perdured.core.spec import Spec
from perdured.errors import PerdureError

from .submission import Submission

SCHEMA_VERSION = 2
"""Raised with every change after which an older version could not read what is written: a table, and also a phase or a
cause that it does not know. What is only added to a record needs no new version: it is passed over.

1: 0.1. 2: the same tables, with records that 0.1 does not understand as a whole.
"""

_log = logging.getLogger("perdured")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, workdir TEXT NOT NULL,
    spec TEXT NOT NULL, env TEXT NOT NULL, record TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, job TEXT NOT NULL, event TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_of_job ON events (job, seq);
"""


@dataclass(frozen=True)
class StoredEvent:
    seq: int
    at: float
    job: str
    event: Event


class StateTooNew(PerdureError):
    exit_status = 125


class RegistryUnusable(PerdureError):
    """The disk, a permission or a lock stands in the way; the file itself may be all right."""


class Registry:
    """One writer: the daemon that holds the state directory's lock."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.touch(mode=0o600)  # it holds the jobs' environments; its journals take over the mode
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._unchanged: list[tuple[Submission, JobRecord]] | None = None
        """What opening it has loaded, until it is asked for or something is written: it may be ten thousand jobs."""
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if not self.is_complete:
            self._db.executescript(_SCHEMA)
        if self._db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("quick_check failed")
        self._unchanged = self._load_jobs()
        if 0 < self._read_version() < SCHEMA_VERSION:
            self.mark_complete()  # from here on an older version must not touch it

    @property
    def is_complete(self) -> bool:
        """False for a new one, or an empty file, until every job that the disk knows has been taken in."""
        return self._read_version() > 0

    def _read_version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def mark_complete(self) -> None:
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        self._db.close()

    def load_jobs(self) -> list[tuple[Submission, JobRecord]]:
        unchanged, self._unchanged = self._unchanged, None
        return self._load_jobs() if unchanged is None else unchanged

    def _load_jobs(self) -> list[tuple[Submission, JobRecord]]:
        rows = self._db.execute("SELECT spec, env, workdir, record FROM jobs ORDER BY rowid")
        return [_load_job(*row) for row in rows]

    def save_submission(self, submission: Submission, record: JobRecord, events: Iterable[Event], at: float) -> None:
        row = (
            record.id,
            record.name,
            submission.workdir,
            submission.spec.model_dump_json(),
            json.dumps(submission.env),
            record.model_dump_json(),
        )
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?)", row)
            self._add_events(record.id, events, at)

    def save_environment(self, job: str, env: Mapping[str, str]) -> None:
        with self._transaction():
            self._db.execute("UPDATE jobs SET env = ? WHERE id = ?", (json.dumps(dict(env)), job))

    def save_record(self, record: JobRecord, events: Iterable[Event], at: float) -> None:
        """The record and what is told about it, both or neither."""
        with self._transaction():
            self._db.execute("UPDATE jobs SET record = ? WHERE id = ?", (record.model_dump_json(), record.id))
            self._add_events(record.id, events, at)

    def forget(self, job: str) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM jobs WHERE id = ?", (job,))
            self._db.execute("DELETE FROM events WHERE job = ?", (job,))

    def load_events(self, after: int, job: str | None, limit: int = 1000) -> list[StoredEvent]:
        where, arguments = ("AND job = ?", (after, job, limit)) if job else ("", (after, limit))
        query = f"SELECT seq, at, job, event FROM events WHERE seq > ? {where} ORDER BY seq LIMIT ?"  # noqa: S608
        return [StoredEvent(s, a, j, Event.model_validate_json(e)) for s, a, j, e in self._db.execute(query, arguments)]

    def save_events(self, job: str, events: Iterable[Event], at: float) -> None:
        """Facts that changed no record, such as a checkpoint that was committed."""
        with self._transaction():
            self._add_events(job, events, at)

    def last_event(self) -> int:
        """The highest sequence number given to an event so far; 0 before the first."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        return int(row[0]) if row else 0

    def _add_events(self, job: str, events: Iterable[Event], at: float) -> None:
        rows = [(at, job, event.model_dump_json(exclude_none=True)) for event in events]
        self._db.executemany("INSERT INTO events (at, job, event) VALUES (?, ?, ?)", rows)

    def _transaction(self) -> _Transaction:
        self._unchanged = None
        return _Transaction(self._db)


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # a full disk may or may not have ended it
                self._db.execute("ROLLBACK")


def _load_job(spec: str, env: str, workdir: str, record: str) -> tuple[Submission, JobRecord]:
    submission = Submission(Spec.model_validate_json(spec), json.loads(env), workdir)
    return submission, JobRecord.model_validate_json(record)


def open_registry(path: Path) -> tuple[Registry, Path | None]:
    """The registry, and where a broken one was set aside, if it was. The caller fills one that is not complete.

    Raises StateTooNew and RegistryUnusable, and has changed nothing then.
    """
    try:
        _refuse_newer(path)
        return Registry(path), None
    except sqlite3.OperationalError as error:
        what = f"The registry {path} cannot be used."
        todo = "Mend that and start again. A registry that is moved away is made anew from the jobs beside it."
        raise RegistryUnusable(what, f"SQLite says: {error}.", todo) from error
    except (sqlite3.DatabaseError, ValueError) as error:
        _log.warning("the registry is broken: %s", error)
        return _set_aside(path)


def _refuse_newer(path: Path) -> None:
    """Opened for reading only, since merely closing a database that was opened may rewrite it."""
    if not path.exists():
        return
    has_journal = path.with_name(path.name + "-wal").exists()
    how = "mode=ro" if has_journal else "immutable=1"  # the former would leave an empty journal behind
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StateTooNew(
            f"The state in {path.parent} was written by a newer Perdure (schema {version}).",
            f"This version reads schemas up to {SCHEMA_VERSION}, and guessing could lose jobs.",
            "Install the newer version again, or use another --state-dir. Nothing was changed.",
        )


def _set_aside(path: Path) -> tuple[Registry, Path]:
    """Its journal goes first: beside another database it would be taken for that one's."""
    number = next(n for n in itertools.count(1) if not any(path.parent.glob(f"{path.name}.broken-{n}*")))
    aside = path.with_name(f"{path.name}.broken-{number}")
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            rename_noreplace(path.with_name(path.name + suffix), aside.with_name(aside.name + suffix))
    rename_noreplace(path, aside)
    return Registry(path), aside
