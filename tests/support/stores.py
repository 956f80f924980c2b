"""Small directories of checkpoints for tests, and an eye on them that does not go through the code under test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from perdured.contract.checkpoint import Committed, Facts, commit_checkpoint, parse_name
from perdured.contract.checkpoint.layout import COMMIT, MANIFEST
from perdured.contract.holding import LOCK
from support.crashes import Tree, load_tree

Payload = Mapping[str, bytes]


def payload_of(step: int) -> Payload:
    """Two files, one in a sub-directory, other bytes at each step."""
    return {"a.bin": f"tensors of step {step}".encode(), "sub/b.bin": f"state of step {step}".encode()}


def facts_of(series: str = "run", *, healthy: bool = True) -> Facts:
    return Facts(job="job", attempt=1, series=series, healthy=healthy, position={"epoch": 1, "batch": 2})


def commit(root: Path, step: int, *, series: str = "run", healthy: bool = True) -> Committed:
    files = {name: [data] for name, data in payload_of(step).items()}
    return commit_checkpoint(root, step, files, facts_of(series, healthy=healthy))


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
    """Whether exactly the bytes of `payload_of(step)` are there, without asking the manifest."""
    files = {name: data for name, data in flatten(checkpoint).items() if name not in (MANIFEST, COMMIT)}
    return files == dict(payload_of(step))


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
