"""Tells when something in a directory was finished: a file closed after writing, or renamed into place (watchdog).

Full events, because by default a file renamed in from outside the watched directory looks like one just created.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.inotify import InotifyObserver


class Watcher:
    """Calls back from a thread of its own; a callback must only pass the word on. One watch per directory."""

    def __init__(self) -> None:
        self._observer: BaseObserver | None = None
        self._watches: dict[Path, ObservedWatch] = {}

    def watch(self, directory: Path, on_change: Callable[[], object]) -> bool:
        """False when the directory is not there (yet), or the kernel grants no more watches: then look by the clock."""
        if self._observer is None:
            self._observer = InotifyObserver(generate_full_events=True)
            self._observer.start()
        old = self._watches.pop(directory, None)
        if old is not None:
            self._observer.unschedule(old)
        try:
            self._watches[directory] = self._observer.schedule(_Handler(on_change), str(directory))
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)


class _Handler(FileSystemEventHandler):
    def __init__(self, on_change: Callable[[], object]) -> None:
        self._on_change = on_change

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, FileClosedEvent | FileMovedEvent):
            self._on_change()
