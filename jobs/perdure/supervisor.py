"""The keeper of a process that uses `perdure.save` and `perdure.load`, if it has one; else nothing of this happens.

Such a script has one safe point: the end of a `save`, when all that it wants kept is durable. There it ends, if it is
told to stop, and there it stands still while its machine may be taken away. Both are offered only where SIGTERM was
nobody's: a script that handles it has its own way of being told, which a wait in here would keep from it.

From one safe point to the next it is as long as from one save to the next. The keeper is told how long that was, and
how long the saves took, so that a notice can be answered by what they need.

Known limit: where several files are saved one after the other, it may stand still, or end, between two of them.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from perdure.channel import Channel, open_channel
from perdure.errors import tell
from perdure.imports import record_imports
from perdure.pacer import Samples
from perdure.parking import offer_to_park, stand_still
from perdure.signals import StopFlag
from perdured.contract import exits, messages
from perdured.contract.pacing import Pace, format_pace


class Supervisor:
    def __init__(self) -> None:
        self._channel: Channel = open_channel()
        self._stop = StopFlag((signal.SIGTERM,))
        self._rhythm = Rhythm()
        self._is_recorded = False
        if self._channel.is_open and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._stop.install()
            offer_to_park(self._channel)

    def announce(self, step: int) -> None:
        self._rhythm.begin_save()
        self._channel.send({"type": messages.PROGRESS, "step": step})
        self._channel.send({"type": messages.SAVING, "step": step})

    def confirm(self, step: int, path: Path) -> None:
        """Stands still if the machine may be taken away; exits with status 75 if the job is to stop."""
        self._channel.send({"type": messages.CHECKPOINT, "step": step, "path": str(path)})
        self._channel.send({"type": messages.PACE, **format_pace(self._rhythm.end_save())})
        if self._channel.is_open and not self._is_recorded:
            self._is_recorded = True
            record_imports()
        self._channel.listen(0.0)
        if self._channel.park_wish is not None:
            stand_still(self._channel, step, is_saved=True, is_over=self._stop.is_set)
            self._rhythm.note_pause()
        if self._stop.signal is not None:
            tell(f"stopped by {self._stop.signal.name} at step {step}; run the same command to go on")
            raise SystemExit(exits.RUN_AGAIN)


class Rhythm:
    """How long the saves of a script take, and how long it is from one to the next."""

    def __init__(self) -> None:
        self._writes, self._gaps = Samples(None), Samples(None)
        self._began = time.monotonic()
        self._ended: float | None = None

    def begin_save(self) -> None:
        self._began = time.monotonic()
        if self._ended is not None:
            self._gaps.add(self._began - self._ended)

    def end_save(self) -> Pace:
        self._ended = time.monotonic()
        self._writes.add(self._ended - self._began)
        return Pace(
            save_every=self._gaps.middle,
            write=self._writes.middle,
            fastest_write=self._writes.least,
            slowest_write=self._writes.most,
            slowest_step=self._gaps.most,
        )

    def note_pause(self) -> None:
        """It stood still: what comes now does not tell how long it is to the next save."""
        self._ended = None
