"""What the keeper's writer wrote, and somebody damaged: the one before is found, or it is said why not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.contract.checkpoint import choose_checkpoint, verify_checkpoint
from perdured.contract.checkpoint.layout import COMMIT, MANIFEST
from perdured.keeper.writer import _Writer
from support.crashes import load_tree
from support.damage import DAMAGES, Damage
from support.seeds import make_random
from support.stores import commit, flatten
from support.writers import STEP, give, held_arena, order_of


@pytest.fixture
def written(memory: Path) -> Path:
    """A checkpoint of the writer, with an older one beside."""
    root = memory / "root"
    with held_arena() as arena:
        answer = give(_Writer(arena), order_of(root, last=True, urgent=True))
    commit(root, 10)
    path = Path(str(answer["path"]))
    assert verify_checkpoint(path).is_valid
    return path


def _check(path: Path, what: object) -> None:
    """It is not taken for whole, and the older one is found; where it could not be judged, the choice stops."""
    verdict = verify_checkpoint(path)
    assert not verdict.is_valid, what
    choice = choose_checkpoint(path.parent)
    if verdict.is_unknown:
        assert choice.chosen is None, what
        assert choice.stopped_by is not None, what
        return
    assert choice.chosen is not None, what
    assert choice.chosen.step == 10, what


def _each_file(path: Path) -> Iterator[tuple[Path, bytes]]:
    for name, data in flatten(load_tree(path)).items():
        yield path / name, data


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_every_damage_is_seen_and_its_file_named(damage: Damage, written: Path) -> None:
    damage.apply(written)
    verdict = verify_checkpoint(written)
    assert damage.file in [problem.file for problem in verdict.problems]
    assert verdict.is_unknown == damage.is_unknown
    _check(written, damage.name)


def test_every_flipped_bit_is_seen(written: Path) -> None:
    """All of COMMIT, and a sample of the rest, in which every byte is under one checksum or another."""
    random = make_random()
    assert written.name.startswith(f"step-{STEP:012d}")
    for file, data in _each_file(written):
        bits = (
            range(8 * len(data))
            if file.name == COMMIT
            else random.sample(range(8 * len(data)), k=min(40, 8 * len(data)))
        )
        for bit in bits:
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            _check(written, (file, bit))
        file.write_bytes(data)
    assert verify_checkpoint(written).is_valid


def test_every_truncation_is_seen(written: Path) -> None:
    random = make_random()
    for file, data in _each_file(written):
        for length in {0, 1, len(data) - 1, *random.sample(range(len(data)), k=min(10, len(data)))}:
            os.truncate(file, length)
            # What is cut off may be the line's end after the JSON of COMMIT, which says nothing.
            if not (file.name == COMMIT and length == len(data) - 1):
                _check(written, (file, length))
            file.write_bytes(data)


def test_every_missing_file_is_seen(written: Path) -> None:
    for file, data in _each_file(written):
        file.unlink()
        verdict = verify_checkpoint(written)
        assert [problem.file for problem in verdict.problems] == [str(file.relative_to(written))]
        _check(written, file)
        file.write_bytes(data)


def test_a_file_from_another_checkpoint_is_seen(written: Path) -> None:
    """The right name, perhaps the right length, and other bytes."""
    other = written.parent / "step-000000000010-000002"
    for name in ("a.bin", "sub/b.bin", MANIFEST):
        data = (written / name).read_bytes()
        shutil.copyfile(other / name, written / name)
        _check(written, name)
        (written / name).write_bytes(data)
