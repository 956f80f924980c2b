"""What Lightning and Hugging Face's Trainer really wrote (`make_real.py`) is recognised, and its damage seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from perdured.contract.checkpoint.store import list_checkpoints
from perdured.formats import judge
from perdured.supervise.foreign import ForeignFiles
from support.disk_jobs import make_submission

REAL = Path(__file__).parent / "real"
LIGHTNING = sorted((REAL / "lightning").iterdir())
FOLDERS = sorted((REAL / "hugging_face").iterdir())
UNSEEN = ("config.json", "generation_config.json")
"""What is cut off these only the library itself would miss: they are taken as they are."""
CUTS = 15


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(REAL, tmp_path / "real")
    return tmp_path / "real"


def find_unseen(victim: Path, judged: Path) -> list[str]:
    """How it can be cut, or be gone, without that it is seen."""
    whole, unseen = victim.read_bytes(), []
    for length in range(0, len(whole.rstrip()), max(1, len(whole) // CUTS)):
        victim.write_bytes(whole[:length])
        unseen += [f"{victim.name} cut at {length}"] if not judge(judged).is_broken else []
    victim.write_bytes(whole)
    return unseen


@pytest.mark.parametrize("path", LIGHTNING, ids=lambda path: path.name)
def test_a_file_of_lightning_is_recognised_and_says_its_step(path: Path) -> None:
    assert judge(path) == ("Lightning", (), 4, True)


@pytest.mark.parametrize("path", FOLDERS, ids=lambda path: path.name)
def test_a_folder_of_the_trainer_is_recognised_and_says_its_step(path: Path) -> None:
    judged = judge(path)
    assert (judged.kind, judged.problems, judged.step) == ("Hugging Face", (), 4)


def test_every_cut_of_a_file_of_lightning_is_seen(copy: Path) -> None:
    path = copy / "lightning" / "last.ckpt"
    assert find_unseen(path, path) == []


def test_every_flipped_byte_within_a_part_of_a_file_of_lightning_is_seen(copy: Path) -> None:
    """By the zip's own checksums; between its parts there is padding that nobody reads."""
    path = copy / "lightning" / "last.ckpt"
    whole = path.read_bytes()
    begin = whole.index(b"state_dict")
    for at in range(begin, begin + 400):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert judge(path).is_broken, at


@pytest.mark.parametrize("name", [folder.name for folder in FOLDERS])
def test_every_cut_of_a_file_of_the_trainers_folder_is_seen(copy: Path, name: str) -> None:
    folder = copy / "hugging_face" / name
    victims = [path for path in sorted(folder.iterdir()) if path.name not in UNSEEN]
    assert len(victims) >= 6
    assert [unseen for victim in victims for unseen in find_unseen(victim, folder)] == []


@pytest.mark.parametrize("name", [folder.name for folder in FOLDERS])
def test_a_folder_whose_weights_or_state_are_missing_is_broken(copy: Path, name: str) -> None:
    folder = copy / "hugging_face" / name
    for victim in [*folder.glob("*.safetensors"), folder / "trainer_state.json"]:
        data = victim.read_bytes()
        victim.unlink()
        assert judge(folder).is_broken, victim.name
        victim.write_bytes(data)
    assert not judge(folder).is_broken


@pytest.mark.parametrize("pattern", ["lightning/*.ckpt", "hugging_face/checkpoint-*"])
def test_they_are_taken_into_the_store_once_they_are_quiet(copy: Path, pattern: str) -> None:
    files = ForeignFiles(make_submission(copy.parent, f'[checkpoint]\npattern = "real/{pattern}"'), "job")
    assert files.commit_new_ones(1, 2e9) == 2
    assert {listed.step for listed in list_checkpoints(copy.parent / "checkpoints")} == {4}
