"""The carrier: `python -m perdured.remote` takes an order on standard input and says how it goes on standard output.

It runs with the job's environment, which holds the credentials, and at low priority when it uploads. It has no state
but the remote itself and the job's record, so it may be killed at any point and started again.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from perdured.clock import format_time, start_clock
from perdured.contract.checkpoint.reasons import list_set_aside
from perdured.contract.checkpoint.receive import skip_numbers
from perdured.core.fencing import SEQ_GAP

from .aside import set_aside
from .fencing import Fence
from .orders import HURRY, REPORT, Done, Failed, Order, Report
from .owner import check_still_ours, claim
from .pace import Pace
from .pruning import Remote, prune
from .pull import Puller, pull_newer, set_overtaken_aside
from .push import Copier, Guard, copy_newest
from .record import RemoteRecord, load_record, save_record
from .sending import Sender, find_unfinished
from .sight import Sight, make_record, observe_remote
from .store import Store
from .trouble import Trouble

_NICENESS = 10

Tell = Callable[[Report], None]


def main() -> int:
    """A byte at a time, so that what comes after the order is left for `_listen`."""
    order = Order.model_validate_json(_read_line())
    pace = Pace(start_clock(), order.limit if order.verb == "push" else None, _tell)
    threading.Thread(target=_listen, args=(pace,), daemon=True).start()
    if order.verb == "push":
        os.nice(_NICENESS)
    _tell(perform(order, _tell, pace))
    return 0


def perform(order: Order, tell: Tell, pace: Pace | None = None) -> Done | Failed:
    pace = pace or Pace(start_clock(), order.limit if order.verb == "push" else None, tell)
    try:
        store = Store(order.url)
        record, fence = _load(order), _make_fence(store, order)
        fence.check()
        claim(store, order, had_it=record.is_owned, now=format_time(start_clock()()) or "")
        act = _push if order.verb == "push" else _pull
        return act(order, Means(store, pace, tell, fence))
    except Trouble as trouble:
        return Failed(**dict(trouble.as_value))
    except OSError as error:
        return _explain(error, order)


class NoFence:
    """Of a host that has joined no others: OWNER alone says whose the remote is."""

    def check(self) -> None:
        """There is nothing to look at."""

    def seal(self, commit: bytes) -> bytes:
        return commit

    def sift(self, sight: Sight, _tell: Tell) -> Sight:
        return sight


class Means(NamedTuple):
    store: Store
    pace: Pace
    tell: Tell
    fence: Fence | NoFence


def _make_fence(store: Store, order: Order) -> Fence | NoFence:
    return Fence(store, order.term) if order.term is not None else NoFence()


def _push(order: Order, means: Means) -> Done:
    store, pace, tell, fence = means
    parts = store.parts
    unfinished = find_unfinished(store)
    sight = fence.sift(set_aside(store, observe_remote(store), list_set_aside(Path(order.root)), tell), tell)
    record = _load(order)
    proofs = record.proofs

    def check() -> None:
        check_still_ours(store, order)
        fence.check()

    copier = Copier(store, pace, Sender(store, pace, unfinished), Guard(check, fence.seal))
    copied = copy_newest(Path(order.root), sight, copier, tell)
    if copied is not None:
        proofs[copied.name] = copied.proof
        sight = observe_remote(store)
    for upload in unfinished.values():
        assert parts is not None
        parts.abort(upload)
    record = make_record(order.url, sight, proofs, record.first)
    save_record(Path(order.record), record)
    if copied is not None:
        tell(copied.report)
    fence.check()
    save_record(Path(order.record), prune(store, Remote(sight, record), order.keep, tell))
    return Done(holds_any=sight.holds_any)


def _pull(order: Order, means: Means) -> Done:
    store, pace, tell, fence = means
    root, sight = Path(order.root), fence.sift(observe_remote(store), tell)
    if order.is_fresh:
        sight = set_aside(store, sight, sight.committed, tell)
    record = _load(order)
    proofs = record.proofs
    save_record(Path(order.record), make_record(order.url, sight, proofs, record.first))
    ran_elsewhere = order.term is not None and order.term.first not in (1, record.first)
    if ran_elsewhere:
        set_overtaken_aside(root, sight, tell)
    taken = pull_newer(root, sight, Puller(store, pace), tell)
    skip_numbers(root, sight.highest_seq + (SEQ_GAP if ran_elsewhere else 0))
    proofs |= {found.sealed.name: found.proof for found in taken}
    first = order.term.first if order.term is not None else record.first
    save_record(Path(order.record), make_record(order.url, sight, proofs, first))
    return Done(holds_any=sight.holds_any)


def _load(order: Order) -> RemoteRecord:
    return load_record(Path(order.record), order.url) or RemoteRecord()


def _explain(error: OSError, order: Order) -> Failed:
    """Of the local disk: the remote's own errors are Trouble."""
    todo = "Make room there." if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Check the disk and its permissions."
    where = error.filename or order.root
    return Failed(what=f"{where} cannot be read or written.", why=f"{error.strerror or error}.", todo=todo)


def _tell(report: Report) -> None:
    sys.stdout.buffer.write(REPORT.dump_json(report) + b"\n")
    sys.stdout.buffer.flush()


def _read_line() -> bytes:
    """Not through `sys.stdin`, whose lock would be in the way of ending normally."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


def _listen(pace: Pace) -> None:
    """To the daemon's words, whatever is under way; its end is ours."""
    while word := _read_line():
        if word == HURRY:
            pace.hurry()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
