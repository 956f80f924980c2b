"""Fetches what the remote has and the disk has not, by the local commit protocol: verified chunk by chunk as it comes.

What is broken there gives way to the next older one that is still newer than the disk's. The disk's own were looked at
before, every byte of the one that would be resumed from (`supervise.ground`); here their names and lengths count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from perdured.contract.checkpoint.layout import CheckpointName, format_name
from perdured.contract.checkpoint.manifest import FileEntry
from perdured.contract.checkpoint.receive import CameDamaged, receive_checkpoint
from perdured.contract.checkpoint.store import quarantine
from perdured.core.tiers import decide_downloads

from .local import list_local
from .orders import Moved, Note
from .pace import Pace
from .proving import DamagedThere, fetch_chunk
from .sight import Found, Sight
from .store import CONCURRENT, Store

Tell = Callable[[Moved | Note], None]


def pull_newer(root: Path, sight: Sight, puller: Puller, tell: Tell) -> list[Found]:
    """Returns what was taken in. Trouble or OSError for what is not the checkpoint's own fault."""
    for name, why in sight.broken:
        tell(Note(text=f"{puller.url}/{format_name(name)} is broken, and is passed over: {why}"))
    whole = {each.sealed.name: each for each in sight.whole}
    taken = []
    for candidates in decide_downloads([each.held for each in list_local(root)], sight.held):
        for held in candidates:
            found = whole[CheckpointName(*held.place)]
            if _take(root, found, sight.highest_seq, puller, tell):
                taken.append(found)
                break
    return taken


def set_overtaken_aside(root: Path, sight: Sight, tell: Tell) -> None:
    """What this host saved, and could not send before the job went on elsewhere. The run did not go on from there."""
    newest: dict[str, tuple[int, int]] = {}
    for held in sight.held:
        newest[held.series] = max(newest.get(held.series, held.place), held.place)
    for each in list_local(root):
        if each.held.series in newest and each.held.place > newest[each.held.series]:
            quarantine(each.path, "the job went on elsewhere from an older checkpoint", counts=False)
            tell(Note(text=f"{each.path.name} is set aside: the job went on elsewhere from an older checkpoint"))


def _take(root: Path, found: Found, above: int, puller: Puller, tell: Tell) -> bool:
    step = found.sealed.name.step
    puller.pace.begin(step, found.size)
    try:
        receive_checkpoint(root, found.sealed, lambda file: puller.read(found, file), above=above)
    except (DamagedThere, CameDamaged) as error:
        tell(Note(text=f"{puller.url}/{format_name(found.sealed.name)} is broken, and is passed over: {error}"))
        return False
    tell(Moved(step=step, size=found.size, sent=found.size))
    return True


class Puller:
    """Reads objects a few chunks ahead."""

    def __init__(self, store: Store, pace: Pace) -> None:
        self.url = store.url
        self.pace = pace
        self._store = store

    def read(self, found: Found, file: FileEntry) -> Iterator[bytes]:
        key, size = f"{format_name(found.sealed.name)}/{file.name}", found.sealed.manifest.chunk_size
        ahead: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(CONCURRENT) as pool:
            try:
                for number in range(len(file.checksums)):
                    ahead.append(pool.submit(fetch_chunk, self._store, key, file, size, number))
                    if len(ahead) == CONCURRENT:
                        yield self._next(ahead)
                while ahead:
                    yield self._next(ahead)
            finally:
                pool.shutdown(cancel_futures=True)

    def _next(self, ahead: deque[Future[bytes]]) -> bytes:
        data = ahead.popleft().result()
        self.pace.note(len(data))
        return data
