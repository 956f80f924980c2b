"""Files that torch itself wrote: whole ones are recognised, and every cut and every flipped byte of a tensor is seen
where the format has checksums."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.formats import judge

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
CUTS = 60


def make_state() -> dict[str, object]:
    model = torch.nn.Sequential(torch.nn.Linear(10, 30), torch.nn.BatchNorm1d(30))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 10)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def find_unseen_cuts(path: Path, judged: Path) -> list[int]:
    whole = path.read_bytes()
    unseen = []
    for length in range(0, len(whole), max(1, len(whole) // CUTS)):
        path.write_bytes(whole[:length])
        unseen += [length] if not judge(judged).is_broken else []
    path.write_bytes(whole)
    return unseen


def flip(path: Path, marker: bytes) -> None:
    """One bit within the bytes of a tensor."""
    whole = bytearray(path.read_bytes())
    whole[whole.index(marker) + 3] ^= 1
    path.write_bytes(whole)


def marked() -> tuple[dict[str, object], bytes]:
    tensor = torch.arange(1000.0, 1100.0)
    return {"t": tensor}, tensor.numpy().tobytes()


@pytest.mark.parametrize(("is_zip", "kind"), [(True, "torch.save"), (False, "torch.save, old format")])
def test_a_file_of_torch_save_is_whole_or_broken(tmp_path: Path, is_zip: bool, kind: str) -> None:
    path = tmp_path / "a.pt"
    torch.save(make_state(), path, _use_new_zipfile_serialization=is_zip)
    assert judge(path) == (kind, (), None, is_zip)
    assert find_unseen_cuts(path, path) == []


def test_a_flipped_bit_in_a_tensor_of_a_zip_is_seen(tmp_path: Path) -> None:
    state, marker = marked()
    torch.save(state, tmp_path / "a.pt")
    flip(tmp_path / "a.pt", marker)
    assert "other bytes" in judge(tmp_path / "a.pt").summarize()


def test_a_file_without_checksums_is_not_called_broken(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(make_state(), tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert judge(tmp_path / "a.pt") == ("torch.save", (), None, False)


def test_a_file_of_lightning_says_its_step_whatever_its_name(tmp_path: Path) -> None:
    """As Lightning lays it out: its own step stands before those of its loops."""
    content = {"epoch": 3, "global_step": 1500, "pytorch-lightning_version": "2.6.0", "loops": {"global_step": 7}}
    torch.save(content | {"state_dict": make_state()}, tmp_path / "last.ckpt")
    assert judge(tmp_path / "last.ckpt") == ("Lightning", (), 1500, True)


def test_a_dcp_directory_is_whole_or_broken(tmp_path: Path) -> None:
    from torch.distributed.checkpoint.state_dict_saver import save

    state, marker = marked()
    folder = tmp_path / "step-5"
    save({**make_state(), **state}, checkpoint_id=folder)
    assert judge(folder) == ("DCP", (), None, True)
    assert find_unseen_cuts(folder / ".metadata", folder) == []
    [data] = folder.glob("*.distcp")
    assert find_unseen_cuts(data, folder) == []
    flip(data, marker)
    assert "other bytes" in judge(folder).summarize()
    data.unlink()
    assert judge(folder).summarize() == f"{data.name}: is missing, and .metadata names it"
    (folder / ".metadata").unlink()
