"""Small directories of checkpoints for tests, and an eye on them that does not go through the code under test."""

from __future__ import annotations

import importlib
import mmap
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from perdured.contract.checkpoint import (
    CheckpointName,
    Committed,
    Facts,
    FileEntry,
    Manifest,
    Sealed,
    commit_checkpoint,
    copier,
    gather,
    parse_name,
    parse_sealed,
    receive_checkpoint,
)
from perdured.contract.checkpoint.commit import format_commit
from perdured.contract.checkpoint.gather import BLOCK, Image, Source, round_up
from perdured.contract.checkpoint.layout import COMMIT, MANIFEST
from perdured.contract.checkpoint.manifest import format_manifest
from perdured.contract.holding import LOCK
from support.crashes import Tree, load_tree

Payload = Mapping[str, bytes]
commit_module = importlib.import_module("perdured.contract.checkpoint.commit")


def payload_of(step: int) -> Payload:
    """Two files, one in a sub-directory, other bytes at each step."""
    return {"a.bin": f"tensors of step {step}".encode(), "sub/b.bin": f"state of step {step}".encode()}


def facts_of(series: str = "run", *, healthy: bool = True) -> Facts:
    return Facts(job="job", attempt=1, series=series, healthy=healthy, position={"epoch": 1, "batch": 2})


def commit(root: Path, step: int, *, series: str = "run", healthy: bool = True) -> Committed:
    files = {name: [data] for name, data in payload_of(step).items()}
    return commit_checkpoint(root, step, files, facts_of(series, healthy=healthy))


def sealed_elsewhere(step: int, seq: int) -> Sealed:
    """The checkpoint of this step as another tier has it."""
    files = (FileEntry(name, len(data), (f"{zlib.crc32(data):08x}",)) for name, data in payload_of(step).items())
    manifest = format_manifest(Manifest(step, seq, facts_of(), tuple(files)))
    return parse_sealed(CheckpointName(step, seq), manifest, format_commit(seq, manifest))


def receive(root: Path, step: int, seq: int, *, above: int = 0) -> Committed:
    payload = payload_of(step)
    return receive_checkpoint(root, sealed_elsewhere(step, seq), lambda file: [payload[file.name]], above=above)


# Several chunks ----------------------------------------------------------------------------------------------------

CHUNK = 2 * BLOCK
"""Bytes, where `small_chunks` holds: small enough that every byte can be kept of thousands of states."""


@cache
def large_payload_of(step: int) -> Payload:
    """For the copier's threads: of three chunks and a part of one, of two chunks to the byte, and of less than one."""
    return {"a.bin": _fill(step, "a", 3 * CHUNK + 77), "sub/b.bin": _fill(step, "b", 2 * CHUNK), "c.bin": b"short"}


def _fill(step: int, name: str, length: int) -> bytes:
    """Other bytes at each place, so that a chunk in the place of another is seen."""
    return b"".join(f"{name} {step} {number};".encode() for number in range(length // 6))[:length]


@contextmanager
def small_chunks() -> Iterator[None]:
    """What is committed meanwhile is cut into small chunks, and its manifest says so."""
    former, manifest = vars(gather)["CHUNK_SIZE"], commit_module.Manifest
    vars(copier)["CHUNK_SIZE"] = vars(gather)["CHUNK_SIZE"] = CHUNK
    vars(commit_module)["Manifest"] = partial(Manifest, chunk_size=CHUNK)
    try:
        yield
    finally:
        vars(copier)["CHUNK_SIZE"] = vars(gather)["CHUNK_SIZE"] = former
        vars(commit_module)["Manifest"] = manifest


def make_image(content: bytes) -> Image:
    memory = mmap.mmap(-1, max(round_up(len(content)), BLOCK))
    memory[: len(content)] = content
    return Image(memoryview(memory), len(content))


def commit_large(root: Path, step: int, *, are_images: bool = False) -> Committed:
    """From buffers that do not end where chunks do; or from memory as it lies."""
    files: dict[str, Source] = {
        name: make_image(data) if are_images else [data[:700], data[700:]]
        for name, data in large_payload_of(step).items()
    }
    with small_chunks():
        return commit_checkpoint(root, step, files, facts_of())


def flatten(tree: Tree, prefix: str = "") -> dict[str, bytes]:
    """A tree's files by their path."""
    files: dict[str, bytes] = {}
    for name, node in tree.items():
        if isinstance(node, dict):
            files |= flatten(node, f"{prefix}{name}/")
        else:
            files[prefix + name] = node
    return files


def is_whole(checkpoint: Tree, step: int) -> bool:
    """Whether exactly the bytes of one of the payloads of `step` are there, without asking the manifest."""
    files = {name: data for name, data in flatten(checkpoint).items() if name not in (MANIFEST, COMMIT)}
    return files in (dict(payload_of(step)), dict(large_payload_of(step)))


def find_committed(tree: Tree) -> dict[str, Tree]:
    """The directories of a root that a reader takes for checkpoints."""
    found = {name: node for name, node in tree.items() if parse_name(name) is not None and isinstance(node, dict)}
    return {name: node for name, node in found.items() if COMMIT in node}


def debris_in(root: Path) -> set[str]:
    """What is neither a committed checkpoint, nor a claim, nor the quarantine."""
    tree = load_tree(root)
    return {name for name in tree if not name.startswith((".seq-", "quarantine"))} - find_committed(tree).keys()


@contextmanager
def holding(root: Path) -> Iterator[int]:
    """Another process that holds the directory as a `perdure.Run` does."""
    code = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(root / LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process.pid
