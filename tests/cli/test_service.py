"""`perdure service`: what it would write and call, as data, and what it refuses. Done for real in
`tests/service/test_machine.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath

import pytest

from perdured.cli.main import run_cli
from perdured.cli.service import perform as doing
from perdured.cli.service import plan, status
from perdured.cli.service.plan import Call, Files, Remove, Write
from perdured.errors import BadUsage, PerdureError

FILES = Files("[Service]\nExecStart=perdured --on-stop auto\n", "u perdure -", "d /var/lib/perdure")


def test_the_unit_starts_the_perdured_that_is_installed_here() -> None:
    unit = plan.set_program(FILES.unit, "/opt/perdure/bin/perdured")
    assert unit == "[Service]\nExecStart=/opt/perdure/bin/perdured --on-stop auto\n"


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/usr/bin/perdured", "/usr/bin/perdured"),
        ("/home/a b/perdured", '"/home/a b/perdured"'),
        ("/a%b/$c/perdured", "/a%%b/$$c/perdured"),
        ('/a"b/perdured', '"/a\\"b/perdured"'),
    ],
)
def test_a_path_is_one_word_to_systemd(word: str, quoted: str) -> None:
    assert plan.quote(word) == quoted


def test_the_account_is_made_before_what_needs_its_number() -> None:
    steps = plan.plan_account(FILES)
    assert [step.command[0] for step in steps if isinstance(step, Call)] == ["systemd-sysusers", "systemd-tmpfiles"]


def test_the_daemon_is_stopped_before_the_manager_that_its_keepers_are_units_of() -> None:
    drop_ins = plan.list_drop_ins(997)
    text = drop_ins[PurePosixPath("/etc/systemd/system/perdured.service.d/10-perdure.conf")]
    assert "After=user@997.service" in text
    assert "TimeoutStopSec=" in drop_ins[PurePosixPath("/etc/systemd/system/user@997.service.d/10-perdure.conf")]


@pytest.mark.parametrize("now", [True, False])
def test_files_are_written_before_systemd_reads_them_and_it_reads_them_before_it_starts(now: bool) -> None:
    steps = plan.plan_system(FILES, "/usr/bin/perdured", 997, now=now)
    kinds = ["write" if isinstance(step, Write) else step.command[1] for step in steps if not isinstance(step, Remove)]
    assert kinds[: kinds.index("daemon-reload")] == ["write"] * 3
    assert kinds[-1] == ("restart" if now else "enable")


def test_what_was_written_is_removed() -> None:
    """But for the state, the account, and the account's manager, in which jobs may still run."""
    steps = (*plan.plan_account(FILES), *plan.plan_system(FILES, "/usr/bin/perdured", 997, now=True))
    removed = {step.path for step in plan.plan_removal_from_system(997) if isinstance(step, Remove)}
    assert {step.path for step in steps if isinstance(step, Write)} <= removed
    assert not [step for step in plan.plan_removal_from_system(997) if "disable-linger" in str(step)]


def test_a_users_unit_lies_where_their_manager_looks() -> None:
    assert plan.find_units_folder({}, PurePosixPath("/home/me")) == PurePosixPath("/home/me/.config/systemd/user")
    chosen = plan.find_units_folder({"XDG_CONFIG_HOME": "/config"}, PurePosixPath("/home/me"))
    assert chosen == PurePosixPath("/config/systemd/user")


def test_it_is_written_once_and_a_failure_says_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = PurePosixPath(tmp_path / "units" / "a.service")
    for text in ("one", "one", "two"):
        doing.perform([Write(path, text)])
    assert Path(path).read_text() == "two"
    assert capsys.readouterr().err.splitlines() == [f"Wrote {path}", f"Replaced {path}"]
    doing.perform([Remove(path), Remove(path), Call(("false",), is_needed=False)])
    assert not Path(path).exists()
    with pytest.raises(PerdureError, match="`sh -c echo why >&2; exit 3` failed") as caught:
        doing.perform([Call(("sh", "-c", "echo why >&2; exit 3"))])
    assert caught.value.why == "why"


def test_without_systemd_it_says_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doing, "BOOTED", tmp_path / "none")
    assert run_cli(["service", "install"]) == PerdureError.exit_status
    assert "was not booted by systemd" in capsys.readouterr().err


def test_the_machines_service_is_roots_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doing, "BOOTED", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for verb in ("install", "uninstall"):
        assert run_cli(["service", verb]) == BadUsage.exit_status
        assert "--user" in capsys.readouterr().err


def test_a_program_that_the_account_may_not_read_is_refused(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "perdured").write_text("")
    with pytest.raises(PerdureError, match="cannot be the machine's service") as caught:
        doing.refuse_hidden_program(hidden / "perdured")
    assert "perdure, which may not enter" in caught.value.why


def test_the_status_of_what_is_not_there_says_how_to_have_it() -> None:
    shown = status.describe({"LoadState": "not-found", "ActiveState": "inactive"}, Path("/s"), None, lingers=False)
    assert status.say_status(shown, "perdure service install")[-1] == "Install it: perdure service install --now"


def test_the_status_of_what_runs_says_who_answers() -> None:
    told = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNRestarts=2\nMainPID=7\n"
    told += "StatusText=serving 1 jobs\n"
    shown = status.describe(status.parse_properties(told), Path("/s"), "0.1.0", lingers=True)
    assert json.dumps(shown)
    assert (shown["installed"], shown["at_boot"], shown["pid"]) == (True, True, 7)
    assert status.say_status(shown, "") == [
        "The service is active: serving 1 jobs",
        "It is started at boot, and was restarted 2 times.",
        "On /s version 0.1.0 answers.",
    ]
