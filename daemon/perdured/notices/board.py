"""The board: what all sources have told, durable before anybody acts on it.

Whoever listens gets every notice that stands, the whole list, at each change: one that came, moved, was withdrawn, or
whose deadline has long passed. After a restart of the daemon the list begins with what was recorded, so that a notice
outlives the daemon that heard it. A disk that takes no record delays nothing: to save without a record is better than
not to save.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

from perdured.contract.durable import write_file
from perdured.core.notices.flapping import find_flapping, find_settled, list_settled
from perdured.core.notices.merging import merge_notices, say_outlook
from perdured.core.notices.notice import Notice, Sight, SourceName, find_next_change, list_standing, take_sight
from perdured.core.notices.status import SourceStatus

from .eyes import Eyes, Report
from .views import NoticesView, describe_notices

_log = logging.getLogger("perdured")

OnChange = Callable[[tuple[Notice, ...]], None]


class Board:
    """Lives in one event loop."""

    def __init__(self, path: Path, eyes: Eyes) -> None:
        self._path = path
        self._eyes = eyes
        self._on_change: OnChange | None = None
        self._notices = load_notices(path)
        self._told: tuple[Notice, ...] | None = None
        self._statuses: dict[SourceName, SourceStatus] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def standing(self) -> tuple[Notice, ...]:
        """What is acted on."""
        now = self._eyes.clock()
        standing = list_standing(self._notices, self._eyes.boot_id, now)
        return list_settled(standing, find_flapping(self._notices, now), now)

    def describe(self) -> NoticesView:
        return describe_notices(self._statuses.values(), self._notices, self.standing, self._eyes.clock())

    def list_reports(self) -> list[Report]:
        """All that stands now, as each source would tell it at once."""
        standing = self.standing
        return [
            Report(status, tuple(notice for notice in standing if notice.source == source), is_whole=True)
            for source, status in self._statuses.items()
        ]

    def begin(self, absent: tuple[SourceStatus, ...], on_change: OnChange) -> None:
        """From now on `on_change` is told, what was recorded before first. `absent`: the sources that are not here."""
        self._on_change = on_change
        self._statuses |= {status.source: status for status in absent}
        self._publish()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def tell(self, report: Report) -> None:
        self._take_status(report.status)
        sight = Sight(
            report.status.source, report.notices, self._eyes.clock(), self._eyes.boot_id, is_whole=report.is_whole
        )
        notices = take_sight(self._notices, sight)
        if notices != self._notices:
            self._notices = notices
            self._save()
            self._publish()

    def _take_status(self, status: SourceStatus) -> None:
        before = self._statuses.get(status.source)
        self._statuses[status.source] = status
        if status.state == "blind" and (before is None or before != status):
            _log.warning("notices: %s is blind: %s", status.source, status.why)
        elif status.state == "works" and before is not None and before.state == "blind":
            _log.info("notices: %s works again", status.source)

    def _publish(self) -> None:
        standing = self.standing
        if standing != self._told:
            before, self._told = self._told, standing
            if standing or before:
                _log.warning("notices: %s", say_outlook(merge_notices(standing), self._eyes.clock()))
            if self._on_change is not None:
                self._on_change(standing)
        self._look_again_later()

    def _look_again_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now = self._eyes.clock()
        ends = find_next_change(self._notices, self._eyes.boot_id, now)
        flapping = find_flapping(self._notices, now)
        settles = (find_settled(each, flapping) for each in list_standing(self._notices, self._eyes.boot_id, now))
        at = min((at for at in (ends, *settles) if at is not None and at >= now), default=None)
        if at is not None:
            self._timer = asyncio.get_running_loop().call_later(at - now + 0.1, self._publish)

    def _save(self) -> None:
        try:
            save_notices(self._path, self._notices)
        except OSError as error:
            _log.error("notices: %s could not be written, and they count all the same: %s", self._path, error)


def save_notices(path: Path, notices: tuple[Notice, ...]) -> None:
    """Errors: OSError."""
    content = {"schema": 1, "notices": [notice.model_dump(mode="json") for notice in notices]}
    write_file(path, json.dumps(content, indent=1).encode(), mode=0o600)


def load_notices(path: Path) -> tuple[Notice, ...]:
    """What cannot be read is none: the sources will tell again what stands."""
    try:
        content = json.loads(path.read_bytes())
        return tuple(Notice.model_validate(each) for each in content["notices"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("notices: %s cannot be read: %s", path, error)
        return ()
