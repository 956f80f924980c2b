"""The messenger: `python -m perdured.fleet` takes the URL on the first line of standard input, then questions.

It runs with the daemon's environment, which holds the credentials. It has no state but what it has read already, so it
may be killed at any point and started again. It ends with the daemon, when its standard input does.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from perdured.remote.store import Object, Store
from perdured.remote.trouble import Trouble

from .notes import Answer, Ask, Failed, Told, choose_keys

PATIENCE = timedelta(seconds=10)
"""For one request with its repetitions: who waits too long for one renewal misses the next."""
_read: dict[tuple[str, Object], str] = {}


def main() -> int:
    url, store = sys.stdin.readline().strip(), None
    for line in sys.stdin:
        try:
            store = store or Store(url, PATIENCE)
            answer = perform(store, Ask.model_validate_json(line))
        except Trouble as trouble:
            answer = Failed(**dict(trouble.as_value))
        sys.stdout.write(answer.model_dump_json() + "\n")
        sys.stdout.flush()
    return 0


def perform(store: Store, ask: Ask) -> Answer:
    """Trouble where any of it failed; then nobody knows what of it was done."""
    created = [key for key, text in ask.create.items() if _create(store, key, text.encode())]
    for key, text in ask.put.items():
        store.put(key, text.encode())
    listing = store.list_objects("jobs")
    return Told(created=tuple(created), texts={key: _recall(store, key, listing[key]) for key in choose_keys(listing)})


def _create(store: Store, key: str, data: bytes) -> bool:
    """A request that was repeated may find what it wrote itself."""
    return store.create(key, data) or store.read_if_there(key) == data


def _recall(store: Store, key: str, found: Object) -> str:
    if (key, found) not in _read:
        for old in [each for each in _read if each[0] == key]:
            del _read[old]
        _read[key, found] = store.read(key).decode("utf-8", "replace")
    return _read[key, found]


if __name__ == "__main__":
    sys.exit(main())
