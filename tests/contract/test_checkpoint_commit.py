"""Committing: any buffers, names and facts; numbers that are never given twice; writers side by side."""

from __future__ import annotations

import array
import mmap
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdured.contract import durable
from perdured.contract.checkpoint import Facts, choose_checkpoint, commit_checkpoint, list_checkpoints, retain
from perdured.contract.checkpoint import claims as claims_module
from perdured.contract.checkpoint.claims import claim_seq, find_highest_seq, release_claim, remove_claims_below
from perdured.contract.checkpoint.gather import Image
from perdured.contract.checkpoint.sweep import sweep
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.contract.deadline import TooLate
from support.crashes import load_tree
from support.faults import Kernel, installed
from support.stores import commit, debris_in, facts_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def _claims(root: Path) -> list[str]:
    return sorted(name for name in os.listdir(root) if name.startswith(".seq-"))


# Bytes -----------------------------------------------------------------------------------------------------------


BUFFERS: list[list[Any]] = [
    [],
    [b""],
    [b"", bytearray(), memoryview(b"")],
    [b"abc", bytearray(b"def"), memoryview(b"ghi")],
    [memoryview(array.array("d", [1.0, 2.0]))],
    [memoryview(bytes(24)).cast("B", [2, 3, 4])],
    [memoryview(array.array("f")).cast("B").cast("f")],
    [memoryview(b"abcdef")[1:4]],
    [bytes([n]) for n in range(200)],
    [bytes((16 << 20) - 1), b"ab", bytes(3 << 20)],
]


@pytest.mark.parametrize("buffers", BUFFERS, ids=range(len(BUFFERS)))
def test_buffers_of_any_kind_and_size_are_written_as_they_are(buffers: list[Any], root: Path) -> None:
    """Also of zero length, of several dimensions, of other items than bytes, across the end of a chunk."""
    path = commit_checkpoint(root, 1, {"a.bin": buffers, "empty": []}, facts_of()).path
    assert (path / "a.bin").read_bytes() == b"".join(memoryview(buffer).tobytes() for buffer in buffers)
    assert verify_checkpoint(path).is_valid


def test_large_buffers_are_not_copied(root: Path) -> None:
    """The state may be most of the memory there is."""
    buffer = bytearray(64 << 20)
    tracemalloc.start()
    commit_checkpoint(root, 1, {"a.bin": [memoryview(buffer)]}, facts_of())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_each_iterable_is_read_once_and_only_when_its_file_is_written(root: Path) -> None:
    """So a file can be made while it is written."""
    made: list[str] = []

    def generate(name: str) -> Iterator[bytes]:
        made.append(name)
        yield name.encode()

    path = commit_checkpoint(root, 1, {name: generate(name) for name in "cab"}, facts_of()).path
    assert made == ["c", "a", "b"]
    assert (path / "b").read_bytes() == b"b"


def test_a_buffer_that_cannot_be_written_as_it_is_leaves_nothing(root: Path) -> None:
    """Every second byte of something: `write` would need a copy."""
    commit(root, 10)
    with pytest.raises(TypeError):
        commit_checkpoint(root, 20, {"a.bin": [b"good", memoryview(b"abcdef")[::2]]}, facts_of())
    assert [listed.step for listed in list_checkpoints(root)] == [10]
    assert not debris_in(root)


@pytest.mark.parametrize(
    "error", [RuntimeError("of the caller"), KeyboardInterrupt(), SystemExit(75), GeneratorExit()], ids=repr
)
def test_an_error_in_the_callers_bytes_goes_up_as_it_is_and_leaves_nothing(error: BaseException, root: Path) -> None:
    def generate() -> Iterator[bytes]:
        yield b"some"
        raise error

    commit(root, 10)
    with pytest.raises(type(error)) as raised:
        commit_checkpoint(root, 20, {"a.bin": [b"x"], "b.bin": generate()}, facts_of())
    assert raised.value is error
    assert not debris_in(root)


def test_an_image_that_changes_after_it_was_checksummed_is_seen(root: Path) -> None:
    """A trainer that copies into an image while it is being written: caught when read, not loaded in silence."""
    memory = mmap.mmap(-1, 4096)

    class Racing(Kernel):
        def write(self, descriptor: int, data: memoryview) -> int:
            memory[50] = 1
            return super().write(descriptor, data)

    with installed(Racing()):
        path = commit_checkpoint(root, 1, {"a.bin": Image(memoryview(memory), 100)}, facts_of()).path
    assert [problem.file for problem in verify_checkpoint(path).problems] == ["a.bin"]


def test_a_deadline_that_comes_just_before_its_mark_takes_the_checkpoint_away_again(root: Path) -> None:
    """It has its name already, and only COMMIT is missing."""

    def check() -> None:
        if any(path.name.startswith("step-000000000020") for path in root.iterdir()):
            raise TooLate

    commit(root, 10)
    with pytest.raises(TooLate):
        commit_checkpoint(root, 20, {"a.bin": [b"x"]}, facts_of(), check)
    assert [listed.step for listed in list_checkpoints(root)] == [10]
    assert not debris_in(root)


# What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "files", "facts"),
    [
        (1, {}, facts_of()),
        (1, {"../x": []}, facts_of()),
        (1, {"COMMIT": []}, facts_of()),
        (1, {"a": [], "a/b": []}, facts_of()),
        (-1, {"a": []}, facts_of()),
        (10**12, {"a": []}, facts_of()),
        (1, {"a": []}, facts_of(series="")),
        (1, {"a": []}, Facts(job=None, attempt=None, series="s", created_at=float("nan"))),
        (1, {"a": []}, Facts(job=None, attempt=None, series="s", position={"epoch": -1})),
    ],
    ids=range(9),
)
def test_what_no_manifest_can_hold_is_refused_before_anything_is_written(
    step: int, files: dict[str, list[bytes]], facts: Facts, root: Path
) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        commit_checkpoint(root, step, files, facts)
    assert not root.exists()


# Numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_go_up_by_one_whatever_the_step(root: Path) -> None:
    assert [commit(root, step).seq for step in (30, 10, 20, 20)] == [1, 2, 3, 4]


def test_a_number_is_not_given_again_after_everything_was_deleted(root: Path) -> None:
    """As a user does, with `rm -r checkpoints/*`."""
    for step in (10, 20, 30):
        commit(root, step)
    for listed in list_checkpoints(root):
        listed.path.rename(root.parent / listed.path.name)
    assert commit(root, 5).seq == 4


def test_one_claim_is_left_after_each_commit(root: Path) -> None:
    """They do not pile up."""
    for step in range(5):
        commit(root, step)
        assert _claims(root) == [f".seq-{step + 1:06d}"]


def test_a_failed_commit_uses_its_number_up(root: Path) -> None:
    with pytest.raises(TypeError):
        commit_checkpoint(root, 20, {"a.bin": [memoryview(b"abcdef")[::2]]}, facts_of())
    assert commit(root, 20).seq == 2


def test_every_name_of_ours_counts(root: Path) -> None:
    """Debris, trash and quarantine too: their numbers were given to somebody."""
    root.mkdir()
    for number, name in enumerate(
        [".tmp-000002-0123456789ab", ".trash-000004-0123456789ab", ".seq-000006", "step-000000000001-000008"], 1
    ):
        (root / name).mkdir()
        assert find_highest_seq(root) == 2 * number
    (root / "quarantine" / "step-000000000001-000010.2").mkdir(parents=True)
    assert find_highest_seq(root) == 10


def test_a_writer_with_an_old_listing_does_not_take_a_number_that_was_used(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked, slept, and meanwhile 2 was claimed, committed, deleted, and its claim tidied away after 3."""
    commit(root, 10)
    looked = find_highest_seq(root)
    commit(root, 20).path.rename(root.parent / "deleted")
    commit(root, 30)
    assert _claims(root) == [".seq-000003"]
    answers = iter([looked])
    monkeypatch.setattr(claims_module, "find_highest_seq", lambda root: next(answers, None) or find_highest_seq(root))
    descriptors = os.listdir("/proc/self/fd")
    claim = claim_seq(root)
    release_claim(claim)
    assert claim.seq == 4
    assert os.listdir("/proc/self/fd") == descriptors


def test_a_number_that_cannot_be_had_is_an_error_and_no_endless_loop(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever makes every number a taken one."""
    root.mkdir()
    monkeypatch.setattr(claims_module, "_try_claim", lambda root, seq: None)
    with pytest.raises(OSError, match="no sequence number"):
        claim_seq(root)


def test_a_claim_that_was_taken_away_before_it_was_locked_is_not_used(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process tidied up between the creation and the lock."""
    root.mkdir()
    locked: list[int] = []

    def lock(descriptor: int) -> None:
        if not locked:
            (root / ".seq-000001").unlink()
            (root / ".seq-000002").touch()
        locked.append(descriptor)

    monkeypatch.setattr(durable, "lock", lock)
    claim = claim_seq(root)
    release_claim(claim)
    assert claim.seq == 3


def test_the_claim_of_a_live_writer_is_not_tidied_away(root: Path) -> None:
    root.mkdir()
    slow = claim_seq(root)
    commit(root, 10)
    assert _claims(root) == [".seq-000001", ".seq-000002"]
    release_claim(slow)
    remove_claims_below(root, 2)
    assert _claims(root) == [".seq-000002"]


def test_a_directory_in_the_place_of_a_claim_costs_a_number_and_no_more(root: Path) -> None:
    """So does a link, a FIFO, or anything else."""
    root.mkdir()
    (root / ".seq-000001").mkdir()
    os.mkfifo(root / ".seq-000002")
    (root / ".seq-000003").symlink_to("/dev/null")
    assert commit(root, 10).seq == 4
    assert commit(root, 20).seq == 5
    sweep(root)
    assert len(list_checkpoints(root)) == 2


def test_a_name_that_is_taken_fails_loudly_and_is_left_alone(root: Path) -> None:
    """Somebody made the very directory, between the claim and the rename."""
    commit(root, 10)
    foreign = root / "step-000000000020-000002"

    def generate() -> Iterator[bytes]:
        foreign.mkdir()
        (foreign / "mine").touch()
        yield b"x"

    with pytest.raises(FileExistsError):
        commit_checkpoint(root, 20, {"a.bin": generate()}, facts_of())
    assert os.listdir(foreign) == ["mine"]
    assert debris_in(root) == {foreign.name}


def test_an_empty_directory_of_the_name_is_not_taken_over(root: Path) -> None:
    """Which plain `rename` would do without a word."""
    foreign = root / "step-000000000020-000001"

    def generate() -> Iterator[bytes]:
        foreign.mkdir()
        yield b"x"

    with pytest.raises(FileExistsError):
        commit_checkpoint(root, 20, {"a.bin": generate()}, facts_of())


# Side by side ----------------------------------------------------------------------------------------------------


def test_a_slow_writer_is_not_disturbed_by_commits_retention_and_sweeps(root: Path) -> None:
    """They all come while its first file is being written."""
    others: list[int] = []

    def generate() -> Iterator[bytes]:
        others.extend(commit(root, step).seq for step in (10, 20, 30))
        retain(root, 2)
        sweep(root)
        yield b"slow"

    slow = commit_checkpoint(root, 40, {"a.bin": generate()}, facts_of())
    assert (slow.seq, others) == (1, [2, 3, 4])
    assert verify_checkpoint(slow.path).is_valid
    assert choose_checkpoint(root).chosen is not None
    assert not debris_in(root)


def test_a_writer_whose_directory_was_swept_after_all_fails_instead_of_committing(root: Path) -> None:
    """On another machine, say, that its lock did not reach."""
    commit(root, 10)

    def generate() -> Iterator[bytes]:
        (temporary,) = root.glob(".tmp-*")
        temporary.rename(root / ".trash-000002-0123456789ab")
        yield b"x"

    with pytest.raises(FileNotFoundError):
        commit_checkpoint(root, 20, {"a.bin": generate(), "b.bin": [b"y"]}, facts_of())
    assert [listed.step for listed in list_checkpoints(root)] == [10]


def test_threads_that_commit_and_delete_at_once_never_collide(root: Path) -> None:
    """Each number once, each checkpoint whole, nothing left over."""
    given: list[int] = []
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for step in range(first, first + 10):
                given.append(commit(root, step).seq)
                retain(root, 3)
        except BaseException as error:  # noqa: BLE001  told below, in the thread that can fail the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert sorted(given) == sorted(set(given))
    assert len(given) == 40
    retain(root, 3)
    left = list_checkpoints(root)
    assert [listed.step for listed in left] == [309, 308, 307]
    assert all(verify_checkpoint(listed.path).is_valid for listed in left)
    assert not debris_in(root)


CHILD = """
import sys
from pathlib import Path
from support.stores import commit
sys.stdin.read(1)
print(*[commit(Path(sys.argv[1]), step).seq for step in range(15)])
"""


def test_processes_that_commit_at_once_never_get_the_same_number(root: Path) -> None:
    """Three of them, started by one byte each when all are ready."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("!")
        child.stdin.flush()
    outputs = [child.communicate(timeout=60)[0] for child in children]
    numbers = [int(text) for output in outputs for text in output.split()]
    assert sorted(numbers) == sorted(set(numbers))
    assert len(numbers) == 45
    assert len(list_checkpoints(root)) == 45
    assert not debris_in(root)


# Durable without an fsync too many ------------------------------------------------------------------------------


def test_a_commit_syncs_each_file_and_directory_once(root: Path) -> None:
    """The cost of durability, so that nobody raises it unawares: 3 files, COMMIT, 2 directories, the root, COMMIT's."""
    commit(root, 10)
    with installed(Kernel()) as kernel:
        commit(root, 20)
    assert sum(call.name == "fsync" for call in kernel.calls) == 4
    assert sum(call.name == "fsyncdir" for call in kernel.calls) == 4


def test_a_first_commit_below_directories_that_may_not_be_read_works(tmp_path: Path) -> None:
    """Who may only pass through a directory cannot sync it, and did not make it."""
    root = tmp_path / "closed" / "root"
    root.mkdir(parents=True)

    class Closed(Kernel):
        def open(self, path: object, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if path == tmp_path / "closed":
                raise PermissionError(13, "Permission denied")
            return super().open(path, flags, mode, dir_fd=dir_fd)

    with installed(Closed()):
        durable.fsync_ancestors(root)
        assert commit(root, 10).seq == 1


def test_the_payload_can_be_read_by_the_group_as_the_umask_says(root: Path) -> None:
    """A checkpoint is the user's file like any other."""
    before = os.umask(0o027)
    try:
        path = commit(root, 10).path
    finally:
        os.umask(before)
    assert {oct(file.stat().st_mode & 0o777) for file in path.rglob("*") if file.is_file()} == {"0o640"}
    assert oct(path.stat().st_mode & 0o777) == "0o750"
    assert load_tree(path)
