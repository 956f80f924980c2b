"""The page about the format says what the code does: its reader is run, its examples are parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from perdured.contract.checkpoint import choose_checkpoint, commit_checkpoint
from perdured.contract.checkpoint.layout import COMMIT, MANIFEST, parse_any_seq, parse_name
from perdured.contract.checkpoint.manifest import MAX_BYTES, MAX_DEPTH, MAX_FILES, parse_manifest
from perdured.contract.holding import KEEPER, LOCK
from support.damage import DAMAGES, Damage
from support.sources import ROOT
from support.stores import commit, facts_of

PAGE = (ROOT / "docs" / "checkpoint-format.md").read_text(encoding="utf-8")
Find = Callable[[Path], "Path | None"]


def _block(language: str, marker: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    (found,) = (block for block in blocks if marker in block)
    return str(found)


@pytest.fixture(scope="module")
def find_newest() -> Find:
    names: dict[str, Find] = {}
    exec(compile(_block("python", "def find_newest"), "docs/checkpoint-format.md", "exec"), names)
    return names["find_newest"]


def test_the_pages_reader_finds_what_was_committed(find_newest: Find, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    assert find_newest(root) is None
    for step in (10, 30, 20):
        commit(root, step)
    large = commit_checkpoint(root, 40, {"a.bin": [bytes((16 << 20) + 1)], "empty": []}, facts_of())
    assert find_newest(root) == large.path


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_the_pages_reader_refuses_every_damage(damage: Damage, find_newest: Find, tmp_path: Path) -> None:
    """Who writes a reader from the page gets a safe one. It sees no empty directory, and takes true for 1."""
    root = tmp_path / "root"
    path = commit(root, 10).path
    damage.apply(path)
    skips = damage.name in ("an empty directory too many", "COMMIT with a number that is true")
    assert (find_newest(root) is None) != skips


def test_the_pages_manifest_and_commit_are_of_this_format() -> None:
    manifest = parse_manifest(_block("json", '"algorithm"').encode())
    assert manifest.files[0].length == 2 * manifest.chunk_size + 1
    assert set(json.loads(_block("json", "manifest_sha256"))) == {"format", "seq", "manifest_sha256"}


def test_the_pages_names_are_ours() -> None:
    tree = _block("", "being written")
    names = [line.split()[0].rstrip("/") for line in tree.splitlines()]
    assert [name for name in names if parse_name(name)][:2] == ["step-000000001200-000007", "step-000000001100-000006"]
    assert [parse_any_seq(name) for name in names if name.startswith(".") and name not in (LOCK, KEEPER)] == [8, 4, 8]
    assert {MANIFEST, COMMIT} <= set(names)


def test_the_pages_limits_are_those_of_the_code() -> None:
    assert f"at most {MAX_BYTES >> 20} MiB" in PAGE
    assert f"at most {MAX_DEPTH} parts" in PAGE
    assert f"at most {MAX_FILES:,}" in PAGE


def test_the_pages_reader_agrees_with_ours(find_newest: Find, tmp_path: Path) -> None:
    root = tmp_path / "root"
    commit(root, 10)
    (commit(root, 20).path / "a.bin").write_bytes(b"broken")
    chosen = choose_checkpoint(root).chosen
    assert chosen is not None
    assert find_newest(root) == chosen.path
