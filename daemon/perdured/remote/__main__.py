"""The helper process: `python -m perdured.remote` takes an order on standard input and says how it goes on standard
output.

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

from perdured.clock import start_clock

from .orders import REPORT, Done, Failed, Order, Report
from .pace import Pace
from .pruning import Remote, prune
from .pull import Puller, pull_newer
from .push import Copier, copy_newest
from .record import RemoteRecord, load_record, save_record
from .sight import make_record, observe_remote
from .store import Store
from .trouble import Trouble

_NICENESS = 10


Tell = Callable[[Report], None]


def main() -> int:
    order = Order.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_daemon, daemon=True).start()
    if order.verb == "push":
        os.nice(_NICENESS)
    _tell(perform(order, _tell))
    return 0


def perform(order: Order, tell: Tell) -> Done | Failed:
    try:
        return _push(order, tell) if order.verb == "push" else _pull(order, tell)
    except Trouble as trouble:
        return Failed(what=trouble.what, why=trouble.why, todo=trouble.todo)
    except OSError as error:
        return _explain(error, order)


def _push(order: Order, tell: Tell) -> Done:
    store, pace = Store(order.url), Pace(start_clock(), order.limit, tell)
    store.abort_uploads()
    sight = observe_remote(store)
    proofs = _load(order).proofs
    copied = copy_newest(Path(order.root), sight, Copier(store, pace), tell)
    if copied is not None:
        proofs[copied.name] = copied.proof
        sight = observe_remote(store)
    record = make_record(order.url, sight, proofs)
    save_record(Path(order.record), record)
    if copied is not None:
        tell(copied.report)
    save_record(Path(order.record), prune(store, Remote(sight, record), order.keep, tell))
    return Done(holds_any=sight.holds_any)


def _pull(order: Order, tell: Tell) -> Done:
    store, pace = Store(order.url), Pace(start_clock(), None, tell)
    sight = observe_remote(store)
    taken = pull_newer(Path(order.root), sight, Puller(store, pace), tell)
    proofs = _load(order).proofs | {found.sealed.name: found.proof for found in taken}
    save_record(Path(order.record), make_record(order.url, sight, proofs))
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


def _end_with_the_daemon() -> None:
    """Whatever is under way. Not through `sys.stdin`, whose lock would be in the way of ending normally."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
