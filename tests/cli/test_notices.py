"""`perdure notices`, against a served fake of the daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click import unstyle

from perdured.cli.main import run_cli
from perdured.cli.settings import Settings
from perdured.cli.verbs.notices import format_notices
from perdured.core.notices.answer import Look
from perdured.core.notices.folder import File, parse_file
from perdured.notices.views import NoticesView
from perdured.wire import Notices
from support.fake_service import FakeBoard, FakeService, make_notice, serving


def show(board: FakeBoard) -> list[str]:
    view: NoticesView = board.describe()
    told: Notices = json.loads(view.model_dump_json())
    return [" ".join(unstyle(line).split()) for line in format_notices(told, board.now)]


def test_json_is_what_the_daemon_tells(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    service = FakeService()
    service.board.notices = (make_notice(),)
    with serving(service, tmp_path / "s"):
        assert run_cli(("notices", "--json"), Settings(socket=tmp_path / "s")) == 0
    assert json.loads(capfd.readouterr().out) == json.loads(service.board.describe().model_dump_json())


def test_sources_and_notices_are_two_tables_below_the_outlook() -> None:
    board = FakeBoard()
    board.notices = (
        make_notice("aws-1", withdrawn_at=board.now),
        make_notice("aws-2", deadline=board.now - 3600),
        make_notice("aws-3", deadline=None, follows="perhaps"),
        make_notice("aws-4"),
    )
    lines = show(board)
    assert lines[0] == "AWS takes this spot instance back: 1 min 58 s left"
    assert "folder works files in /notices" in lines
    assert "aws blind 403" in lines
    assert [line.split("aws-")[1][:12].strip() for line in lines if line.startswith("aws-")] == [
        "4 reclaim in",
        "3 reclaim no",
        "2 reclaim ov",
        "1 reclaim wi",
    ]


def test_without_a_notice_there_are_the_sources_alone() -> None:
    lines = show(FakeBoard())
    assert lines[0] == "no notice"
    assert not any(line.startswith("NOTICE") for line in lines)


def test_an_announced_notice_is_a_file_until_it_is_withdrawn(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a daemon, as a pod's preStop does it."""
    monkeypatch.setenv("PERDURE_NOTICES_FOLDER", str(tmp_path / "n"))
    assert run_cli(("notices", "--announce", "55s", "--why", "the pod ends")) == 0
    name = capfd.readouterr().out.strip()
    file = File(name, (tmp_path / "n" / name).read_text(), 1000.0)
    notice = parse_file(file, Look(1000.0, "boot-1"))
    assert (notice.deadline, notice.why, notice.follows) == (1055.0, "the pod ends", "kill")
    assert run_cli(("notices", "--withdraw", name)) == 0
    assert list((tmp_path / "n").iterdir()) == []
    for wrong in (name, "../other", "."):
        assert run_cli(("notices", "--withdraw", wrong)) == 2


def test_a_folder_that_takes_no_file_is_told_in_three_lines(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run_cli(("notices", "--announce", "5s", "--folder", str(tmp_path / "file" / "n"))) == 125
    assert "--folder" in capfd.readouterr().err


def test_an_approval_reaches_the_daemon(tmp_path: Path) -> None:
    service = FakeService()
    with serving(service, tmp_path / "s"):
        assert run_cli(("notices", "--approve", "azure-1"), Settings(socket=tmp_path / "s")) == 0
    assert service.board.approved == ["azure-1"]
