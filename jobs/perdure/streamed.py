"""torch.save pushes bytes into a file; a commit pulls them out of an iterable. Here the two are joined.

`torch.save` runs in a thread and stops in each `write` until the bytes are taken, so nothing is held twice: not the
whole checkpoint in memory, as a BytesIO would, nor even one tensor. One of the few modules that import torch.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import torch

from perdured.contract.durable import Buffer

_GATHER = 1 << 20  # small writes are gathered up to this many bytes, since a hand-over costs tens of microseconds


class _Abandoned(Exception):
    """Nobody reads any more; unwinds torch.save."""


class _Pipe:
    """The file that torch.save writes to. Each buffer is handed over, and `write` returns when it was taken."""

    def __init__(self) -> None:
        self.handed = queue.Queue[Buffer | BaseException | None](1)
        self.taken = threading.Semaphore(0)
        self.is_abandoned = False
        self._small = bytearray()

    def write(self, data: Buffer) -> int:
        view = memoryview(data).cast("B")
        if len(self._small) + view.nbytes < _GATHER:
            self._small += view
        else:
            self.flush()
            self._hand_over(view)
        return view.nbytes

    def flush(self) -> None:
        if self._small:
            self._hand_over(self._small)
            self._small = bytearray()

    def _hand_over(self, buffer: Buffer) -> None:
        if not self.is_abandoned:
            self.handed.put(buffer)
            self.taken.acquire()
        if self.is_abandoned:
            raise _Abandoned


def stream_saved(value: object) -> Iterator[Buffer]:
    """The bytes that `torch.save(value)` writes. Errors: what torch.save raises."""
    pipe = _Pipe()
    writer = threading.Thread(target=_save, args=(value, pipe), name="perdure-save", daemon=True)
    writer.start()
    try:
        while (handed := pipe.handed.get()) is not None:
            if isinstance(handed, BaseException):
                raise handed
            yield handed
            pipe.taken.release()
    finally:
        pipe.is_abandoned = True
        pipe.taken.release()
        writer.join()


def _save(value: object, pipe: Any) -> None:
    end: BaseException | None = None
    try:
        torch.save(value, pipe)
        pipe.flush()
    except BaseException as error:  # noqa: BLE001  raised again where the bytes are taken
        end = error
    if not pipe.is_abandoned:
        pipe.handed.put(end)
