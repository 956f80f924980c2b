"""Every damage is seen and named, and nothing in a directory makes the reader raise, wait or follow."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from perdured.contract.checkpoint import Verdict, commit_checkpoint, verify_checkpoint
from perdured.contract.checkpoint.layout import CHUNK_SIZE, COMMIT, MANIFEST
from support.damage import DAMAGES, Damage, seal
from support.faults import Fault, Kernel, installed
from support.seeds import make_random
from support.stores import commit, facts_of, payload_of


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return commit(tmp_path / "root", 10).path


def _files_of(verdict: Verdict) -> set[str]:
    return {problem.file for problem in verdict.problems}


def test_what_was_committed_is_valid(checkpoint: Path) -> None:
    verdict = verify_checkpoint(checkpoint)
    assert verdict.is_valid
    assert not verdict.is_unknown
    assert verdict.manifest is not None
    assert [file.name for file in verdict.manifest.files] == list(payload_of(10))
    assert verdict.manifest.facts == facts_of()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_each_damage_is_seen_and_the_file_named(damage: Damage, checkpoint: Path) -> None:
    """And said in words that a terminal can show."""
    damage.apply(checkpoint)
    verdict = verify_checkpoint(checkpoint)
    assert not verdict.is_valid
    assert verdict.is_unknown == damage.is_unknown
    assert damage.file in _files_of(verdict)
    assert all(f"{problem.file} {problem.what}".isprintable() for problem in verdict.problems)


@pytest.mark.parametrize(
    "damage", [damage for damage in DAMAGES if damage.is_seen_without_hashes], ids=lambda d: d.name
)
def test_all_but_changed_bytes_is_seen_without_reading_them(damage: Damage, checkpoint: Path) -> None:
    damage.apply(checkpoint)
    assert not verify_checkpoint(checkpoint, hashes=False).is_valid


def test_changed_bytes_are_not_looked_for_without_hashes(checkpoint: Path) -> None:
    (checkpoint / "a.bin").write_bytes(b"X" * len(payload_of(10)["a.bin"]))
    assert verify_checkpoint(checkpoint, hashes=False).is_valid


def test_a_flipped_bit_anywhere_is_seen(tmp_path: Path) -> None:
    """One bit of one file, payload, manifest or COMMIT, at random places."""
    draw = make_random()
    files = {"a.bin": [draw.randbytes(100_000)], "sub/b.bin": [draw.randbytes(70_000)], "c": [b"x"]}
    path = commit_checkpoint(tmp_path / "root", 10, files, facts_of()).path
    names = ["a.bin", "sub/b.bin", "c", MANIFEST, COMMIT]
    for _ in range(1000):
        name = draw.choice(names)
        with (path / name).open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            at, bit = draw.randrange(size), draw.randrange(8)
            _flip(file.fileno(), at, bit)
            verdict = verify_checkpoint(path)
            _flip(file.fileno(), at, bit)
        assert not verdict.is_valid, (name, at, bit)
        assert _files_of(verdict) == {name} or name == COMMIT, (name, at, bit)
    assert verify_checkpoint(path).is_valid


def _flip(descriptor: int, at: int, bit: int) -> None:
    (value,) = os.pread(descriptor, 1, at)
    os.pwrite(descriptor, bytes([value ^ 1 << bit]), at)


def test_every_truncation_is_seen(checkpoint: Path) -> None:
    """Of each file, at each length."""
    for name in ("a.bin", "sub/b.bin", MANIFEST, COMMIT):
        whole = (checkpoint / name).read_bytes()
        for length in range(len(whole)):
            (checkpoint / name).write_bytes(whole[:length])
            assert not verify_checkpoint(checkpoint).is_valid, (name, length)
        (checkpoint / name).write_bytes(whole)
    assert verify_checkpoint(checkpoint).is_valid


def test_the_wrong_chunk_is_named_by_number_and_offset(tmp_path: Path) -> None:
    path = commit_checkpoint(tmp_path / "root", 10, {"a.bin": [bytes(2 * CHUNK_SIZE + 5)]}, facts_of()).path
    with (path / "a.bin").open("r+b") as file:
        file.seek(2 * CHUNK_SIZE + 1)
        file.write(b"!")
    (problem,) = verify_checkpoint(path).problems
    assert problem.file == "a.bin"
    assert f"chunk 2, at byte {2 * CHUNK_SIZE}" in problem.what


def test_chunks_in_the_wrong_order_are_seen(tmp_path: Path) -> None:
    """Each is right by itself."""
    halves = [b"a" * CHUNK_SIZE, b"b" * CHUNK_SIZE]
    path = commit_checkpoint(tmp_path / "root", 10, {"a.bin": halves}, facts_of()).path
    (path / "a.bin").write_bytes(halves[1] + halves[0])
    assert not verify_checkpoint(path).is_valid


def test_a_copy_under_another_name_is_valid_and_under_another_checkpoints_name_is_not(checkpoint: Path) -> None:
    """`cp -r` to anywhere is fine; a COMMIT replayed as a later step is not."""
    copy = checkpoint.rename(checkpoint.with_name("my-copy"))
    assert verify_checkpoint(copy).is_valid
    for name in ("step-000000000010-000002", "step-000000000011-000001"):
        copy = copy.rename(copy.with_name(name))
        assert not verify_checkpoint(copy).is_valid


def test_a_hard_linked_snapshot_is_valid(checkpoint: Path) -> None:
    """`cp -al` is how people keep one."""
    os.link(checkpoint / "a.bin", checkpoint.parent / "kept")
    assert verify_checkpoint(checkpoint).is_valid


def test_a_directory_that_is_not_there_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    verdict = verify_checkpoint(tmp_path / "step-000000000010-000001")
    assert (verdict.is_valid, verdict.is_unknown) == (False, False)
    assert _files_of(verdict) == {"step-000000000010-000001"}


def test_a_link_to_a_checkpoint_is_not_followed(checkpoint: Path) -> None:
    link = checkpoint.with_name("latest")
    link.symlink_to(checkpoint.name)
    assert not verify_checkpoint(link).is_valid


@pytest.mark.parametrize("error", [errno.EACCES, errno.EMFILE, errno.ESTALE], ids=errno.errorcode.get)
def test_what_keeps_from_reading_is_not_called_corrupt(error: int, checkpoint: Path) -> None:
    """A permission, or a lack of descriptors, at whichever call."""
    assert {verdict.is_unknown for verdict in _verdicts_under(error, checkpoint)} == {True}


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.ELOOP], ids=errno.errorcode.get)
def test_what_says_that_bytes_are_gone_is_called_so(error: int, checkpoint: Path) -> None:
    """A bad sector is as bad as a missing file, and quarantine does not delete."""
    assert {verdict.is_unknown for verdict in _verdicts_under(error, checkpoint)} == {False}


def _verdicts_under(error: int, checkpoint: Path) -> list[Verdict]:
    """With the error at each call in turn that reads."""
    with installed(Kernel()) as kernel:
        assert verify_checkpoint(checkpoint).is_valid
    verdicts = []
    for number, call in enumerate(kernel.calls, 1):
        if call.name != "close":
            with installed(Kernel(Fault(number, error=error))):
                verdicts.append(verify_checkpoint(checkpoint))
    assert len(verdicts) > 10
    assert not any(verdict.is_valid for verdict in verdicts)
    return verdicts


def test_every_descriptor_is_closed_whatever_was_found(checkpoint: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number, damage in enumerate(DAMAGES):
        copy = checkpoint.with_name(str(number))
        shutil.copytree(checkpoint, copy)
        damage.apply(copy)
        verify_checkpoint(copy)
    assert len(os.listdir("/proc/self/fd")) == before


# Hostile ---------------------------------------------------------------------------------------------------------


def _plant_fifo(path: Path) -> None:
    os.mkfifo(path)


def _plant_socket(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def _plant_link_to_the_same_bytes(path: Path) -> None:
    original = path.parent.parent / f"moved-{path.name}"
    (path.parent / original.name).rename(original)
    path.symlink_to(original)


def _plant_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _plant_directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", ["a.bin", "sub/b.bin", MANIFEST, COMMIT])
@pytest.mark.parametrize(
    "plant", [_plant_fifo, _plant_socket, _plant_link_to_the_same_bytes, _plant_link_to_itself, _plant_directory]
)
def test_what_is_no_regular_file_is_refused_and_never_waited_for(
    plant: Callable[[Path], None], name: str, checkpoint: Path
) -> None:
    path = checkpoint / name
    path.rename(path.with_name(f"moved-{path.name}"))
    plant(path)
    path.with_name(f"moved-{path.name}").unlink(missing_ok=True)
    verdict = verify_checkpoint(checkpoint)
    assert not verdict.is_valid
    assert name in _files_of(verdict)


def test_a_directory_swapped_for_a_link_is_not_entered(checkpoint: Path, tmp_path: Path) -> None:
    """Though what it leads to is just what was there."""
    (checkpoint / "sub").rename(tmp_path / "elsewhere")
    (checkpoint / "sub").symlink_to(tmp_path / "elsewhere")
    verdict = verify_checkpoint(checkpoint)
    assert {"sub/b.bin"} <= _files_of(verdict)


def test_a_well_sealed_manifest_with_a_name_that_leads_out_reads_nothing_outside(checkpoint: Path) -> None:
    """Whoever can write the directory can seal any manifest; the names in it are still only names."""
    (checkpoint.parent / "secret").write_bytes(b"")
    for name in ("../secret", "/etc/passwd", "sub/../../secret"):
        seal(checkpoint, files=[{"name": name, "length": 0, "checksums": []}])
        verdict = verify_checkpoint(checkpoint)
        assert _files_of(verdict) == {MANIFEST}
        assert not verdict.is_unknown


@pytest.mark.parametrize("name", [MANIFEST, COMMIT])
def test_a_file_of_a_terabyte_is_not_read(name: str, checkpoint: Path) -> None:
    """A sparse one costs an attacker nothing."""
    os.truncate(checkpoint / name, 1 << 40)
    assert _files_of(verify_checkpoint(checkpoint)) == {name}


def test_a_manifest_that_promises_a_terabyte_allocates_none(checkpoint: Path) -> None:
    os.truncate(checkpoint / "a.bin", 1 << 40)
    checksums = ["00000000"]
    seal(checkpoint, chunk_size=1 << 40, files=[{"name": "a.bin", "length": 1 << 40, "checksums": checksums}])
    assert not verify_checkpoint(checkpoint, hashes=False).is_valid


def test_many_extra_files_end_the_search_early(checkpoint: Path) -> None:
    for number in range(2000):
        (checkpoint / f"extra-{number}").touch()
    with installed(Kernel()) as kernel:
        verdict = verify_checkpoint(checkpoint)
    assert len(verdict.problems) == 1
    assert len(kernel.calls) < 50


def test_extra_directories_nested_without_end_are_given_up(checkpoint: Path) -> None:
    """Deeper than Python's stack, and than a path may be long."""
    descriptors = [os.open(checkpoint, os.O_RDONLY)]
    for _ in range(300):
        os.mkdir("d" * 100, dir_fd=descriptors[-1])
        descriptors.append(os.open("d" * 100, os.O_RDONLY, dir_fd=descriptors[-1]))
        os.close(descriptors.pop(-2))
    os.close(descriptors[0])
    verdict = verify_checkpoint(checkpoint)
    assert not verdict.is_valid
    assert len(verdict.problems) == 1


def test_a_name_that_is_not_text_is_shown_escaped(checkpoint: Path) -> None:
    """Bytes that are not UTF-8, and an escape sequence that would clear the screen."""
    for name in (b"\xff\xfe", b"\x1b[2J", "\u202etxt".encode()):
        (Path(os.fsdecode(os.fsencode(checkpoint) + b"/" + name))).touch()
    verdict = verify_checkpoint(checkpoint)
    assert len(verdict.problems) == 3
    assert all(problem.file.isprintable() and "\\" in problem.file for problem in verdict.problems)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A payload is bytes. This one would leave a file behind if it were more."""
    canary = tmp_path / "canary"
    bomb = b"cos\nsystem\n(S'touch " + os.fsencode(canary) + b"'\ntR."
    path = commit_checkpoint(tmp_path / "root", 10, {"a.bin": [bomb], ".metadata": [bomb]}, facts_of()).path
    assert verify_checkpoint(path).is_valid
    assert not canary.exists()


def test_a_seal_is_what_the_format_page_says(checkpoint: Path) -> None:
    """COMMIT holds the SHA-256 of the bytes of MANIFEST.json, its format and its number."""
    digest = hashlib.sha256((checkpoint / MANIFEST).read_bytes()).hexdigest()
    assert json.loads((checkpoint / COMMIT).read_text()) == {"format": 1, "seq": 1, "manifest_sha256": digest}
