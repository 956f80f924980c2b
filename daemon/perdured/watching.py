"""Tells when something in a directory was finished: a file closed after writing or renamed into place, a folder made.
To whom it matters, also when one was removed.

Full events, because by default a file renamed in from outside the watched directory looks like one just created.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import UnionType

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.inotify import InotifyObserver


class Watcher:
    """Calls back from a thread of its own; a callback must only pass the word on. One watch for each key."""

    def __init__(self) -> None:
        self._observer: BaseObserver | None = None
        self._watches: dict[str, tuple[ObservedWatch, _Handler]] = {}

    def watch(
        self, directory: Path, on_change: Callable[[], object], key: str = "", *, also_removals: bool = False
    ) -> bool:
        """In place of the key's former one. False when the directory is not there (yet), or the kernel grants no more
        watches: then look by the clock."""
        if self._observer is None:
            self._observer = InotifyObserver(generate_full_events=True)
            self._observer.start()
        self.unwatch(key)
        handler = _Handler(on_change, _FINISHED | FileDeletedEvent if also_removals else _FINISHED)
        try:
            self._watches[key] = self._observer.schedule(handler, str(directory)), handler
        except OSError:
            return False
        return True

    def unwatch(self, key: str) -> None:
        """A directory is let go when the last that watches it is gone."""
        watch, handler = self._watches.pop(key, (None, None))
        if self._observer is None or watch is None or handler is None:
            return
        if any(other == watch for other, _ in self._watches.values()):
            self._observer.remove_handler_for_watch(handler, watch)
        else:
            self._observer.unschedule(watch)

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)


_FINISHED = FileClosedEvent | FileMovedEvent | DirCreatedEvent | DirMovedEvent


class _Handler(FileSystemEventHandler):
    def __init__(self, on_change: Callable[[], object], kinds: UnionType) -> None:
        self._on_change = on_change
        self._kinds = kinds

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, self._kinds):
            self._on_change()
