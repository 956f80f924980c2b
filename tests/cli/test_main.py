"""What every verb has in common: help, errors, exit statuses, and what is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from perdured.cli import main as main_module
from perdured.cli.main import VERBS, run_cli
from perdured.cli.settings import Settings
from support.fake_service import FakeService, make_job, serving

HEAVY = ("pydantic", "fastapi", "rich", "asyncio", "sqlite3", "uvicorn", "torch", "numpy", "perdured.api")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_exists_under_its_name(verb: str) -> None:
    command = import_module(f"perdured.cli.verbs.{verb}").command
    assert command.name == verb
    assert verb == "demo" or command.help


def test_no_verb_is_missing_from_the_list() -> None:
    files = {path.stem for path in Path(main_module.__file__).with_name("verbs").glob("*.py")}
    assert files - {"__init__"} == set(VERBS)


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["--help"]) == 0
    said = capsys.readouterr().out
    assert [verb for verb in VERBS if f"\n  {verb} " not in said] == []


def test_an_unknown_verb_is_bad_usage_and_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["sbmit", "x.toml"]) == 2
    assert "Did you mean 'submit'?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["ps", "--nope"], ["show"], ["wait", "x", "--timeout", "soon"], ["logs", "-n"]])
def test_a_wrong_command_line_is_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err


@pytest.mark.parametrize(
    "verb", ["ps", "show x", "logs x", "events x", "wait x", "stop x", "submit -- true", "rm -y x"]
)
def test_without_a_daemon_the_message_says_how_to_start_one(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(verb.split(), Settings(socket=tmp_path / "none")) == 69
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"No daemon answers on {tmp_path / 'none'}." in captured.err
    assert "perdured &" in captured.err
    assert "systemctl" in captured.err


def test_no_verb_at_all_lists_the_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeService((make_job(),)), tmp_path / "s"):
        assert run_cli([], Settings(socket=tmp_path / "s")) == 0
    assert "k7mq2xwp" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--socket", "{}", "ps", "--json"], ["ps", "--json", "--socket", "{}"]])
def test_the_socket_may_be_named_before_or_after_the_verb(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(FakeService((make_job(),)), tmp_path / "s") as served:
        assert run_cli([word.format(served.socket_path) for word in arguments]) == 0
    assert '"jobs"' in capsys.readouterr().out


def test_the_socket_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERDURE_SOCKET_PATH", str(tmp_path / "s"))
    with serving(FakeService((make_job(),)), tmp_path / "s"):
        assert run_cli(["ps"]) == 0


def test_colours_are_for_terminals_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeService((make_job(),)), tmp_path / "s") as served:
        run_cli(["show", "gpt"], Settings(socket=served.socket_path))
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_is_honoured_on_a_terminal(
    no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run_cli(["ps"], Settings(socket=Path("/nowhere/s")))
    assert ("\x1b[" in capsys.readouterr().err) is coloured


@pytest.mark.parametrize(("failure", "status"), [(click.Abort(), 130), (KeyboardInterrupt(), 130)])
def test_an_interrupt_ends_with_130(
    failure: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_self: Settings) -> None:
        raise failure

    monkeypatch.setattr(Settings, "connect", interrupt)
    assert run_cli(["ps"]) == status


def test_a_bug_ends_with_125_and_three_lines(tmp_path: Path) -> None:
    code = "import perdured.cli.settings as s; s.Settings.connect = None; from perdured.cli.main import main; main()"
    command = [sys.executable, "-c", code, "ps"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 125
    assert done.stderr.splitlines()[0] == "perdure: Perdure itself failed."
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(unbuffered: str, tmp_path: Path) -> None:
    """As in `perdure logs JOB | head`: the output is larger than any pipe."""
    log = tmp_path / "output.log"
    log.write_bytes(b"line\n" * 200_000)
    service = FakeService((make_job(),))
    service.logs["k7mq2xwp"] = [(1, log)]
    with serving(service, tmp_path / "s") as served:
        code = "import sys; from perdured.cli.main import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "--socket", str(served.socket_path), "logs", "gpt"],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        process.stderr.close()
        assert (process.wait(timeout=30), said) == (128 + 13, b"")


@pytest.mark.parametrize("arguments", [["ps"], ["show", "gpt"], ["wait", "gpt", "--timeout", "0"], ["--help"]])
def test_verbs_that_look_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """`perdure ps` may cost 150 ms of its own; each of these modules alone would take a good part of it."""
    code = (
        "import sys; from perdured.cli.main import run_cli; run_cli(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    with serving(FakeService((make_job(),)), tmp_path / "s") as served:
        command = [sys.executable, "-c", code, "--socket", str(served.socket_path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == "[]"
