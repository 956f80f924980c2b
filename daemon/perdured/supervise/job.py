"""A job as the running daemon holds it: what is durable, and what is only known while it watches."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from perdured.core.observation import CheckpointSeen, GroundSeen, Refused
from perdured.core.pulse import Watch, WatchKind
from perdured.core.record import UNDER_WAY, JobRecord, Wish
from perdured.core.standby import StandbyWord
from perdured.keeper.talk import MemoryPlace
from perdured.processes import NOTHING, Belongings, KeeperLink, KeeperStatus
from perdured.state.paths import StateDir
from perdured.state.submission import Submission

from .tenure import Tenure


@dataclass
class Kept:
    """An arena that is held open."""

    attempt: int
    """Whose it was, or is."""
    place: MemoryPlace
    descriptor: int
    alone_since: float | None = None
    """When that attempt was first seen to have it no more."""

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"


@dataclass
class Job:
    submission: Submission
    record: JobRecord
    link: KeeperLink | None = None
    """The proven connection to the keeper of the newest attempt."""
    status: KeeperStatus | None = None
    """The keeper's last word, also after its end."""
    refused: Refused | None = None
    """Why the last launch found the ground unfit."""
    distrust: str | None = None
    """Why whoever answers on the keeper's socket was not believed."""
    cleaned: int | None = None
    """The attempt of which we have seen to it that nothing lives any more."""
    signalled: int | None = None
    """The attempt whose leader, an orphan, has been asked to end: by a signal, and one is enough."""
    ground: GroundSeen | None = None
    """What the last probe of the storage found."""
    watches: dict[WatchKind, Watch] = field(default_factory=dict)
    """What the looks at its signs of life add up to."""
    shape: str | None = None
    """Where its main thread was at the last look."""
    had: Belongings = NOTHING
    """What the attempt was last seen to have that the next one may need."""
    standby: StandbyWord | None = None
    """What there is to say of the next attempt's process."""
    kept: Kept | None = None
    """The arena of its newest attempt that had one."""
    is_word_awaited: bool = False
    """The keeper was asked for its status: the next one is a reason to look again."""
    has_looked: bool = False
    """At the remote, since the job rested last."""
    tenure: Tenure | None = None
    """How this host stands to its lease; None where nobody else could run it."""
    newest: CheckpointSeen | None = None
    is_newest_stale: bool = True
    root: str | None = None
    """The checkpoint directory without symbolic links, once its disk has told."""
    wish_on_return: Wish | None = None
    """What is wished of it because there is a daemon again, until that is recorded or a user wishes something else."""
    is_forgotten: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def number(self) -> int | None:
        """The newest attempt's number."""
        return self.record.last_attempt.number if self.record.last_attempt else None

    @property
    def is_under_way(self) -> bool:
        return self.record.phase.kind in UNDER_WAY

    @property
    def is_at_work(self) -> bool:
        """Under way, and not standing still."""
        return self.is_under_way and self.record.phase.kind != "parked_in_place"

    @property
    def is_asked_by_hand(self) -> bool:
        """The newest attempt is the first since a person submitted the job, or asked for it again."""
        return self.number is not None and self.record.judged_after == self.number - 1

    @property
    def unleased(self) -> str | None:
        """Why it may not run on this host now: another may run it."""
        return self.tenure.find_obstacle() if self.tenure is not None else None

    def attempt_dir(self, state: StateDir) -> Path:
        return state.attempt(self.id, self.number or 1)
