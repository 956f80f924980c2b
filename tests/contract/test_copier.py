"""The copier against the simplest thing that could be right: the joined bytes, and zlib over each slice of them."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.contract.checkpoint import copier, gather
from perdured.contract.checkpoint.copier import copy_file
from perdured.contract.checkpoint.gather import BLOCK, Source, Steady
from support.stores import make_image

if TYPE_CHECKING:
    from _typeshed import TraceFunction

SMALL = 4 * BLOCK


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (copier, gather):
        monkeypatch.setattr(module, "CHUNK_SIZE", SMALL)


def _expect(whole: bytes) -> tuple[str, ...]:
    return tuple(f"{zlib.crc32(whole[i : i + SMALL]):08x}" for i in range(0, len(whole), SMALL))


def _check(path: Path, source: Source, whole: bytes) -> None:
    copied = copy_file(path, source)
    assert path.read_bytes() == whole
    assert copied.length == len(whole)
    assert copied.checksums == _expect(whole)


@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(1, 3 * SMALL))
def test_bytes_and_checksums_are_right_however_they_arrive(pieces: list[bytes], repeat: int) -> None:
    """Cut anywhere, empty buffers among them, of less than a chunk and of several."""
    buffers = [piece * (repeat // max(len(pieces) * 25, 1) + 1) for piece in pieces]
    path = Path(f"/dev/shm/perdure-copier-{os.getpid()}") if Path("/dev/shm").is_dir() else Path("copier")
    try:
        _check(path, buffers, b"".join(buffers))
        path.unlink()
        _check(path, Steady(buffers), b"".join(buffers))
    finally:
        path.unlink(missing_ok=True)


LENGTHS = [0, 1, BLOCK, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL, 7 * SMALL + 513, 11 * SMALL]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_file_of_any_length_ends_where_it_ends(length: int, tmp_path: Path) -> None:
    """At a block, beside a block, at a chunk, beside a chunk; gathered by either side, and from an image."""
    content = os.urandom(length)
    _check(tmp_path / "gathered", [content[:700], content[700:]], content)
    _check(tmp_path / "steady", Steady([content[:700], content[700:]]), content)
    _check(tmp_path / "image", make_image(content), content)


def test_a_buffer_with_a_zero_in_its_shape_is_empty(tmp_path: Path) -> None:
    """As a tensor without elements has; memory of no bytes cannot be seen as bytes."""
    empty = memoryview((ctypes.c_char * 3 * 0)())
    assert empty.shape == (0, 3)
    _check(tmp_path / "a", [b"x", empty, b"y" * 2 * SMALL], b"x" + b"y" * 2 * SMALL)


def test_each_buffer_is_done_with_before_the_next_is_asked_for(tmp_path: Path) -> None:
    """A source may use one buffer again and again."""
    buffer = bytearray(SMALL // 2)

    def reuse() -> Iterator[bytearray]:
        for number in range(20):
            buffer[:] = bytes([number]) * len(buffer)
            yield buffer
        buffer[:] = bytes(len(buffer))

    _check(tmp_path / "a", reuse(), b"".join(bytes([number]) * len(buffer) for number in range(20)))


def test_steady_buffers_are_read_where_they_lie_and_by_the_thread_that_asked(tmp_path: Path) -> None:
    """Nothing of it is copied before it is written; and what makes the buffers may hang on its thread."""
    pieces = [bytearray(os.urandom(SMALL // 3)) for _ in range(20)]
    askers = set()

    def ask() -> Iterator[bytearray]:
        for piece in pieces:
            askers.add(threading.get_ident())
            yield piece

    _check(tmp_path / "a", Steady(ask()), b"".join(pieces))
    assert askers == {threading.get_ident()}


def test_a_piece_longer_than_the_stride_is_checksummed_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "_STRIDE", 1000)
    content = os.urandom(3 * SMALL + 5)
    _check(tmp_path / "a", Steady([content[:2500], content[2500:]]), content)


def _switch_often(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
    """Lets another thread go on between any two instructions of the copier."""
    if frame.f_code.co_filename != copier.__file__:
        return None
    frame.f_trace_opcodes = True
    if event == "opcode" and frame.f_code.co_name in ("_take", "write_chunk"):
        time.sleep(0.0002 * random.random())
    return _switch_often


def test_the_length_does_not_hang_on_which_thread_is_last(tmp_path: Path) -> None:
    """One thread had overwritten a longer length by a shorter one: a file cut short, and committed."""
    content = os.urandom(3 * SMALL + 1)  # a chunk for each thread
    threading.settrace(_switch_often)
    try:
        for number in range(20):
            _check(tmp_path / str(number), make_image(content), content)
    finally:
        threading.settrace(None)


@pytest.mark.parametrize("most", [0, 1, 2])
def test_where_few_threads_can_be_had_it_is_written_by_those(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit on processes. Without any it is an error of the system's like any other, and no thread waits."""
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if len(started) == most:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        _start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    content = os.urandom(5 * SMALL)
    if most:
        _check(tmp_path / "a", make_image(content), content)
    else:
        with pytest.raises(OSError, match="no thread"):
            copy_file(tmp_path / "a", make_image(content))
    assert not [thread for thread in threading.enumerate() if thread.name == "perdure-writer"]


def test_an_error_of_the_source_goes_up_and_no_thread_is_left(tmp_path: Path) -> None:
    def fail() -> Iterator[bytes]:
        yield bytes(5 * SMALL)
        raise RuntimeError("of the caller")

    with pytest.raises(RuntimeError, match="of the caller"):
        copy_file(tmp_path / "a", fail())
    assert not [thread for thread in threading.enumerate() if thread.name == "perdure-writer"]


@pytest.mark.parametrize("make", [make_image, lambda content: Steady([content]), lambda content: [content]])
@pytest.mark.parametrize("failing", range(6))
def test_an_error_of_any_write_goes_up_and_no_thread_is_left(
    failing: int, make: Callable[[bytes], Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pwrite(descriptor: int, view: memoryview, offset: int) -> int:
        if offset == failing * SMALL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return _pwrite(descriptor, view, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space left"):
        copy_file(tmp_path / "a", make(bytes(6 * SMALL)))
    assert not [thread for thread in threading.enumerate() if thread.name == "perdure-writer"]


def test_after_an_error_the_source_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told at once, and not after all the rest was gathered for nothing."""
    read = []

    def endless() -> Iterator[bytes]:
        for number in range(1000):
            read.append(number)
            yield bytes(SMALL)

    def pwrite(descriptor: int, view: memoryview, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space left"):
        copy_file(tmp_path / "a", endless())
    assert len(read) < 3 * copier.WRITERS


_pwrite, _fcntl, _start = os.pwrite, fcntl.fcntl, threading.Thread.start


@pytest.mark.parametrize("most", [1, 100, BLOCK, BLOCK + 1])
def test_writes_that_fall_short_are_gone_on_with(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what is left is no whole block any more, which O_DIRECT refuses."""

    def pwrite(descriptor: int, view: memoryview, offset: int) -> int:
        return _pwrite(descriptor, view[: max(most, len(view) // 3)], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    content = os.urandom(3 * SMALL + 77)
    _check(tmp_path / "a", [content], content)


def test_a_file_system_without_o_direct_is_written_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def refuse(descriptor: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETFL and argument & os.O_DIRECT:
            refused.append(descriptor)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return _fcntl(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    content = os.urandom(5 * SMALL + 1)
    _check(tmp_path / "a", [content], content)
    assert refused
