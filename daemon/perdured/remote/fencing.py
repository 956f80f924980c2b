"""Keeps a host that has lost its lease from counting: the fencing token (`core/lease.py`, `core/fencing.py`).

1. The lease is looked at before anything is sent or fetched, and again right before COMMIT is created. COMMIT names the
   token.
2. The base of a lease is made, if absent, before the first COMMIT under it: what counted up to then.
3. What does not count is set aside on the remote (`aside`), by whoever holds the newest lease; until then readers pass
   it over all the same.

What remains possible: a writer is held up between its look at the lease and the creation of COMMIT, for as long as
anybody likes. Its COMMIT then appears under a token that is not the newest. Readers are right all the same. If it came
before the next base was made, it is in that base: the next host goes on from it, as if the commit had come first, which
it did. If it came after, it is in no base and its token is lower than the newest base's, so it counts for nobody, at
any time. Nor does it take the place of another: a host that takes over gives numbers that are far from those of the one
before (`SEQ_GAP`), so neither writes below a name of the other's.

Known limit. A checkpoint that the next host deletes by retention is deleted for both; only such as are older than the
newest proven ones ever are.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from perdured.contract.checkpoint.layout import CheckpointName, format_name, parse_name
from perdured.contract.checkpoint.manifest import parse_fields
from perdured.core.fencing import list_counting

from .aside import set_aside
from .chain import format_base, format_lease, parse_base, parse_lease
from .orders import Note, Term
from .sight import Sight
from .store import Store
from .trouble import Trouble

FIELD = "token"
"""Of COMMIT."""


class Fence:
    """Of one run of the carrier, under the lease `term`."""

    def __init__(self, store: Store, term: Term) -> None:
        """`store` is that of the checkpoints."""
        self._store = store
        self._term = term
        self._place = Store(term.url)

    def check(self) -> None:
        """Trouble unless the lease is still the newest."""
        below = format_lease(self._term.job, 0).rpartition("/")[0]
        tokens = [found[1] for key in self._place.list_objects(below) if (found := parse_lease(key)) is not None]
        if max(tokens, default=0) != self._term.token:
            raise _say_lost(self._store, self._term, max(tokens, default=0))

    def seal(self, commit: bytes) -> bytes:
        """COMMIT with the token in it."""
        fields = parse_fields(commit) | {FIELD: self._term.token}
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

    def sift(self, sight: Sight, tell: Callable[[Note], None]) -> Sight:
        """Makes the base of this lease, if it is not there, and sets aside what does not count."""
        commits = read_tokens(sight)
        newest = self._find_newest_base()
        if newest < self._term.token:
            self._make_base(list_counting(commits, newest, self._read_base(newest)))
        counting = list_counting(commits, self._term.token, self._read_base(self._term.token))
        stale = commits.keys() - counting
        return set_aside(self._store, sight, stale, tell, WHY) if stale else sight

    def _find_newest_base(self) -> int:
        below = format_base(self._term.job, 0).rpartition("/")[0]
        tokens = [found[1] for key in self._place.list_objects(below) if (found := parse_base(key)) is not None]
        return max(tokens, default=0)

    def _read_base(self, token: int) -> set[CheckpointName]:
        data = self._place.read_if_there(format_base(self._term.job, token)) if token else None
        return set() if data is None else set(_parse_base(data, self._place))

    def _make_base(self, counting: set[CheckpointName]) -> None:
        """Only if absent: the first one holds, and has been gone by."""
        names = sorted(format_name(name) for name in counting)
        self._place.create(format_base(self._term.job, self._term.token), json.dumps({"names": names}).encode())


WHY = "it was committed without a valid lease, by a host that had lost it"


def read_tokens(sight: Sight) -> dict[CheckpointName, int | None]:
    """Of the whole ones; what is broken counts for nobody as it is."""
    return {found.sealed.name: _read_token(found.sealed.commit_bytes) for found in sight.whole}


def _read_token(commit: bytes) -> int | None:
    token = parse_fields(commit).get(FIELD)
    return token if type(token) is int else None


def _parse_base(data: bytes, place: Store) -> list[CheckpointName]:
    try:
        names = [parse_name(name) for name in json.loads(data)["names"]]
    except (ValueError, KeyError, TypeError):
        why = "A list of checkpoints below it is not one that Perdure writes."
        raise Trouble(f"{place.url} cannot be understood.", why, "Look who else writes there.", "lasting") from None
    return [name for name in names if name is not None]


def _say_lost(store: Store, term: Term, newest: int) -> Trouble:
    what = f"The lease of job {term.job} is not this host's any more: nothing is copied to {store.url}."
    mine = f"lease {term.token}" if term.token else "none"
    why = f"This host had {mine}, and the newest is {newest}."
    return Trouble(what, why, "Nothing has to be done: the job goes on where the newest lease is.", "unleased")
