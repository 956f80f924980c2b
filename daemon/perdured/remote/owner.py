"""Whose remote it is. OWNER, beside the checkpoints, names one job; only that one writes there.

A new machine has nothing but the spec, so its job has another id. What stays the same is the name, and the rules are:

1. A remote of another name is refused: two different jobs on one URL would resume from each other's state.
2. A job takes the remote over where it never had it before, or where a person has asked for it again. So the latest
   start goes on, and needs no word from the machine before, which may be gone.
3. A job that had it and finds another's name in OWNER was taken over. It copies nothing up any more, and does not start
   by itself: it goes on elsewhere.

OWNER is read before anything is sent, and again before COMMIT. Known limit: there is no lock between the second read
and COMMIT; who loses that race finds its number taken, or leaves one checkpoint more that is whole.
"""

from __future__ import annotations

import socket

from perdured.core.value import Value

from .orders import Order
from .store import Store
from .trouble import Trouble

OWNER = "OWNER"


class Owner(Value):
    format: int = 1
    job: str
    name: str
    since: str
    host: str


def claim(store: Store, order: Order, *, had_it: bool, now: str) -> None:
    """Makes the remote this job's, or Trouble that says whose it is."""
    found = _load(store, order)
    if found is not None and found.name != order.name:
        raise _refuse_other(store, found, order)
    if found is not None and found.job == order.job:
        return
    if found is not None and had_it and not order.takes_over:
        raise _say_taken_over(store, found, order)
    ours = Owner(job=order.job, name=order.name, since=now, host=socket.gethostname())
    _write(store, ours.model_dump_json().encode() + b"\n", may_replace=found is not None)
    check_still_ours(store, order)


def _write(store: Store, data: bytes, *, may_replace: bool) -> None:
    """Read back: one that came damaged would shut everybody out."""
    if may_replace:
        store.put(OWNER, data)
    elif not store.create(OWNER, data):
        return
    if store.read_if_there(OWNER) != data:
        store.put(OWNER, data)


def check_still_ours(store: Store, order: Order) -> None:
    found = _load(store, order)
    if found is None or found.job != order.job:
        raise _say_taken_over(store, found, order)


def _load(store: Store, order: Order) -> Owner | None:
    """What says that the remote is somebody else's is read twice: it may have been damaged on the way."""
    found = _read(store)
    return found if isinstance(found, Owner) and found.job == order.job else _expect(_read(store), store)


def _read(store: Store) -> Owner | bytes | None:
    data = store.read_if_there(OWNER)
    if data is None:
        return None
    try:
        return Owner.model_validate_json(data)
    except ValueError:
        return data


def _expect(found: Owner | bytes | None, store: Store) -> Owner | None:
    if not isinstance(found, bytes):
        return found
    what = f"{store.url} does not say whose it is."
    why = f"The object {OWNER} there is not one that Perdure writes."
    raise Trouble(what, why, "Remove that object if the remote is this job's.", "foreign")


def _refuse_other(store: Store, found: Owner, order: Order) -> Trouble:
    what = f'{store.url} holds the checkpoints of "{found.name}" (job {found.job}, {found.host}).'
    why = f'This job is "{order.name}"; the two would resume from each other\'s state.'
    return Trouble(what, why, "Give each job a `checkpoint.remote` of its own.", "foreign")


def _say_taken_over(store: Store, found: Owner | None, order: Order) -> Trouble:
    who = "by nobody known" if found is None else f"by job {found.job} on {found.host}, at {found.since}"
    what = f"{store.url} was taken over {who}."
    why = "The job goes on there; a second one here would be in its way."
    todo = f"To go on here instead, stop that one, then: perdure resume {order.job}"
    return Trouble(what, why, todo, "foreign")
