"""What is done to a directory of checkpoints, and what must hold in every state that a power cut may leave."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from perdured.contract import durable
from perdured.contract.checkpoint import Choice, choose_checkpoint, parse_name, quarantine, retain
from perdured.contract.checkpoint.layout import parse_claim
from support.crashes import Disk, Tree, freeze, write_tree
from support.faults import Call, Fault, FullDisk, Kernel, installed
from support.stores import commit, commit_large, find_committed, is_whole, receive


@dataclass(frozen=True)
class Seen:
    """One state, after the reader has looked at it."""

    tree: Tree
    choice: Choice | None
    is_done: bool  # whether the operation had returned
    is_torn: bool

    @property
    def chosen(self) -> int | None:
        """The step."""
        return None if self.choice is None or self.choice.chosen is None else self.choice.chosen.step


Check = Callable[[Seen], Iterator[str]]


@dataclass(frozen=True)
class Scenario:
    """`prepare` is durable when `act` begins. Both get the root of the checkpoints, which `prepare` may leave out."""

    name: str
    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    check: Check
    kernel: Callable[[], Kernel] = Kernel


@dataclass
class Record:
    base: Path
    root: Path
    disk: Path  # a copy of `base` before the calls
    calls: list[Call]
    states: int = 0


def record(scenario: Scenario, base: Path) -> Record:
    """Run it once. The root is `base/some/root`."""
    base.mkdir(parents=True)
    root = base / "some" / "root"
    with installed(Kernel()):
        scenario.prepare(root)
    before = base.with_name("before")
    shutil.copytree(base, before)
    with installed(scenario.kernel()) as kernel:
        scenario.act(root)
    return Record(base, root, before, kernel.done)


def find_violations(scenario: Scenario, recorded: Record, judge: Judge, *, torn: bool) -> Iterator[str]:
    """Each state in which something does not hold, in words. None means that the scenario is safe."""
    disk = Disk(recorded.disk, torn=torn)
    place = recorded.root.relative_to(recorded.base).parts
    for number in range(len(recorded.calls) + 1):
        for state in disk.states():
            recorded.states += 1
            tree = _below(state, place)
            seen = Seen(tree, judge.read(tree), number == len(recorded.calls), torn)
            for complaint in scenario.check(seen):
                after = recorded.calls[number - 1] if number else "nothing"
                yield f"after {number} calls, the last {after}: {complaint}; state {tree!r}"
        if number < len(recorded.calls):
            disk.apply(_moved(recorded.calls[number], recorded))


def _moved(call: Call, recorded: Record) -> Call:
    """The call as if it had been made in the copy."""
    old, new = str(recorded.base), str(recorded.disk)
    return replace(call, path=call.path.replace(old, new, 1), other=call.other.replace(old, new, 1))


def _below(tree: Tree, place: tuple[str, ...]) -> Tree:
    for name in place:
        inner = tree.get(name, {})
        assert isinstance(inner, dict)
        tree = inner
    return tree


@dataclass
class Judge:
    """Puts a state on a real file system and asks the reader; the same state only once.

    States that differ only inside debris are the same: `test_checkpoint_store.py` shows that no reader looks there.
    """

    scratch: Path
    _known: dict[object, Choice] = field(default_factory=dict)
    _count: int = 0

    def read(self, tree: Tree) -> Choice:
        tree = {name: {} if name.startswith((".tmp-", ".trash-")) else node for name, node in tree.items()}
        key = freeze(tree)
        if key not in self._known:
            self._count += 1
            place = self.scratch / str(self._count)
            write_tree(tree, place)
            self._known[key] = choose_checkpoint(place)
            shutil.rmtree(place)
        return self._known[key]


# What must hold --------------------------------------------------------------------------------------------------


def _check_store(seen: Seen, allowed: set[int | None], finally_: set[int | None]) -> Iterator[str]:
    """The rules of every scenario: what is chosen is whole, what has COMMIT is whole, a number is covered."""
    assert seen.choice is not None
    committed = find_committed(seen.tree)
    chosen = seen.choice.chosen
    if seen.chosen not in (finally_ if seen.is_done else allowed):
        yield f"step {seen.chosen} is chosen"
    if chosen is not None and not is_whole(committed[chosen.path.name], chosen.step):
        yield "what is chosen is not whole"
    if seen.choice.stopped_by is not None:
        yield "the choice stops"
    # Where a rename can be torn, COMMIT's temporary file may stay beside COMMIT until its directory is synced.
    if seen.choice.rejected and (seen.is_done or not seen.is_torn):
        yield f"COMMIT is there, but: {seen.choice.rejected[0][1].problems}"
    claims = [claim for name in seen.tree if (claim := parse_claim(name)) is not None]
    taken = [name.seq for text in committed if (name := parse_name(text)) is not None]
    if max(taken, default=0) > max(claims, default=0):
        yield "a sequence number could be given out twice"


def _check_first(seen: Seen) -> Iterator[str]:
    yield from _check_store(seen, {None, 10}, {10})


def _check_second(seen: Seen) -> Iterator[str]:
    yield from _check_store(seen, {10, 20}, {20})


def _check_failed(seen: Seen) -> Iterator[str]:
    """What was reported as failed may come back, but only whole."""
    yield from _check_store(seen, {10, 20}, {10, 20})


def _check_retained(seen: Seen) -> Iterator[str]:
    yield from _check_store(seen, {40}, {40})
    committed = find_committed(seen.tree)
    whole = {name.step for text in committed if (name := parse_name(text)) and is_whole(committed[text], name.step)}
    if not {30, 40} <= whole:
        yield f"only {whole} are left"


def _check_set_aside(seen: Seen, *, has_reason: bool = True) -> Iterator[str]:
    """It is in one place or the other, whole, and in the end only in the quarantine."""
    name = "step-000000000020-000002"
    aside = seen.tree.get("quarantine", {})
    assert isinstance(aside, dict)
    places = [place for place in (seen.tree, aside) if name in place]
    if seen.is_done and places != [aside]:
        yield "it is not in the quarantine alone"
    # A torn rename between two directories can lose a name until both are synced; only a journal prevents that.
    if not places and not seen.is_torn:
        yield "it is gone"
    for place in places:
        found = place[name]
        if not isinstance(found, dict) or not is_whole(found, 20):
            yield "it is not whole"
    if seen.is_done and has_reason and f"{name}.reason.json" not in aside:
        yield "nobody knows why"


def _check_replaced(seen: Seen) -> Iterator[str]:
    data = seen.tree.get("file")
    if data not in ((b"new",) if seen.is_done else (b"old", b"new")):
        yield f"the file is {data!r}"


def _check_created(seen: Seen) -> Iterator[str]:
    data = seen.tree.get("file")
    if data not in ((b"new",) if seen.is_done else (None, b"new")):
        yield f"the file is {data!r}"


# What is done ----------------------------------------------------------------------------------------------------


def _prepare_nothing(root: Path) -> None:
    """Not even the root is there."""


def _prepare_root(root: Path) -> None:
    root.mkdir(parents=True)


def _prepare_one(root: Path) -> None:
    commit(root, 10)


def _prepare_debris(root: Path) -> None:
    """Two checkpoints, and what one killed writer and one killed retention left."""
    commit(root, 10)
    (root / ".tmp-000002-0123456789ab").mkdir()
    (root / ".tmp-000002-0123456789ab" / "a.bin").write_bytes(b"half")
    (root / ".trash-000001-0123456789ab").mkdir()
    (root / ".trash-000001-0123456789ab" / "a.bin").write_bytes(b"old")


def _prepare_four(root: Path) -> None:
    for step in (10, 20, 30, 40):
        commit(root, step)


def _prepare_two(root: Path) -> None:
    commit(root, 10)
    commit(root, 20)


def _prepare_file(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "file").write_bytes(b"old")


def _commit_10(root: Path) -> None:
    commit(root, 10)


def _commit_20(root: Path) -> None:
    commit(root, 20)


def _receive_10(root: Path) -> None:
    receive(root, 10, 7)


def _receive_20(root: Path) -> None:
    receive(root, 20, 7, above=9)


def _commit_20_large(root: Path) -> None:
    commit_large(root, 20)


def _commit_20_from_memory(root: Path) -> None:
    commit_large(root, 20, are_images=True)


def _commit_in_a_root_that_nobody_synced(root: Path) -> None:
    vars(durable)["os"].mkdir(root.parent)
    vars(durable)["os"].mkdir(root)
    commit(root, 10)


def _fail_to_commit_20(root: Path) -> None:
    try:
        commit(root, 20)
    except OSError:
        return
    raise AssertionError("the fault did not reach the commit")


def _retain_two(root: Path) -> None:
    assert retain(root, 2)


def _quarantine_20(root: Path) -> None:
    quarantine(root / "step-000000000020-000002", "a test")


def _replace_file(root: Path) -> None:
    durable.write_file(root / "file", b"new")


def _create_file(root: Path) -> None:
    durable.write_file(root / "file", b"new", replace=False)


def _create_file_in_new_directories(root: Path) -> None:
    durable.make_directories(root)
    durable.write_file(root / "file", b"new", replace=False)


class _FailsAtLastSync(Kernel):
    """The n-th last sync of a commit fails: 1 is the one that makes COMMIT's name durable."""

    def __init__(self, nth_last: int) -> None:
        probe = _count_syncs()
        super().__init__(Fault(probe[-nth_last], error=errno.EIO))


def _count_syncs() -> list[int]:
    """The numbers of the calls in `_commit_20` that sync."""
    with tempfile.TemporaryDirectory() as scratch, installed(Kernel()) as kernel:
        root = Path(scratch) / "some" / "root"
        commit(root, 10)
        before = len(kernel.calls)
        commit(root, 20)
    calls = kernel.calls[before:]
    return [number for number, call in enumerate(calls, 1) if call.name in ("fsync", "fsyncdir")]


def _without_noreplace() -> Kernel:
    return Kernel(has_noreplace=False)


def _without_direct() -> Kernel:
    return Kernel(has_direct=False)


SCENARIOS = [
    Scenario("the first commit makes the root", _prepare_nothing, _commit_10, _check_first),
    Scenario(
        "the first commit in an unsynced root", _prepare_nothing, _commit_in_a_root_that_nobody_synced, _check_first
    ),
    Scenario("a second commit", _prepare_one, _commit_20, _check_second),
    Scenario("a commit in marker mode", _prepare_one, _commit_20, _check_second, _without_noreplace),
    Scenario("a commit of several chunks", _prepare_one, _commit_20_large, _check_second),
    Scenario("a commit of a snapshot in memory", _prepare_one, _commit_20_from_memory, _check_second),
    Scenario("a commit without O_DIRECT", _prepare_one, _commit_20_large, _check_second, _without_direct),
    Scenario("the first one taken in from elsewhere", _prepare_nothing, _receive_10, _check_first),
    Scenario("one taken in from elsewhere", _prepare_one, _receive_20, _check_second),
    *(
        Scenario(
            f"a commit whose {name} sync fails",
            _prepare_one,
            _fail_to_commit_20,
            _check_failed,
            partial(_FailsAtLastSync, nth),
        )
        for nth, name in ((1, "last"), (2, "last but one"), (3, "third last"))
    ),
    Scenario("quarantine", _prepare_two, _quarantine_20, _check_set_aside),
    Scenario(
        "quarantine on a full disk",
        _prepare_two,
        _quarantine_20,
        partial(_check_set_aside, has_reason=False),
        FullDisk,
    ),
    Scenario("replacing a file", _prepare_file, _replace_file, _check_replaced),
    Scenario("creating a file", _prepare_root, _create_file, _check_created),
    Scenario(
        "creating a file without RENAME_NOREPLACE", _prepare_root, _create_file, _check_created, _without_noreplace
    ),
    Scenario(
        "creating a file below new directories", _prepare_nothing, _create_file_in_new_directories, _check_created
    ),
    Scenario("a commit after a kill", _prepare_debris, _commit_20, _check_second),
    Scenario("retention", _prepare_four, _retain_two, _check_retained),
]
