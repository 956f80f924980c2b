"""`init`, `run`'s own lines, and completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perdured.cli.complete import list_words
from perdured.cli.main import run_cli
from perdured.cli.run_lines import format_event, tell_event
from perdured.cli.verbs.init import guess_script
from perdured.core.events import Event
from perdured.core.spec_text import parse_spec
from support.fake_service import FakeService, make_attempt, make_job, serving


def make_folder(folder: Path, *files: str) -> Path:
    folder.mkdir()
    for file in files:
        (folder / file).touch()
    return folder


@pytest.mark.parametrize(
    ("files", "guess"),
    [
        ((), None),
        (("gpt.py",), "gpt.py"),
        (("model.py", "train.py", "main.py"), "train.py"),
        (("model.py", "train_gpt.py"), "train_gpt.py"),
        (("train_a.py", "train_b.py"), None),
        (("a.py", "b.py"), None),
    ],
)
def test_the_script_that_trains_is_guessed_only_when_there_is_one(
    files: tuple[str, ...], guess: str | None, tmp_path: Path
) -> None:
    assert guess_script(make_folder(tmp_path / "f", *files)) == guess


@pytest.mark.parametrize(
    ("files", "command", "name"),
    [
        (("gpt.py",), ("python", "gpt.py"), "gpt"),
        (("train.py",), ("python", "train.py"), "my-run"),
        ((), ("python", "train.py"), "my-run"),
    ],
)
def test_init_writes_a_spec_that_is_valid_as_it_is(
    files: tuple[str, ...],
    command: tuple[str, ...],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(make_folder(tmp_path / "my run", *files))
    assert run_cli(["init"]) == 0
    spec = parse_spec(Path("perdure.toml").read_text())
    assert (spec.command, spec.name) == (command, name)
    assert "perdure submit perdure.toml" in capsys.readouterr().err


def test_every_default_that_init_shows_is_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Taking the comment signs away changes nothing but what is only an example."""
    run_cli(["init", str(tmp_path / "job.toml")])
    text = (tmp_path / "job.toml").read_text()
    examples = ("OMP_NUM_THREADS", "remote =", "pattern =", "resume_args =")
    lines = [line for line in text.splitlines() if not any(example in line for example in examples)]
    shown = [line.removeprefix("# ") if " = " in line else line for line in lines]
    assert shown != lines
    assert parse_spec("\n".join(shown)) == parse_spec(text)


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.toml"
    path.write_text("precious")
    assert run_cli(["init", str(path)]) == 2
    assert path.read_text() == "precious"
    assert run_cli(["init", str(tmp_path / "none" / "job.toml")]) == 2


def test_a_start_says_from_which_step() -> None:
    job = make_job(attempts=[make_attempt(), make_attempt(2, resumed_from_step=1200)])
    assert format_event(Event(kind="started", text="attempt 2 is running"), job) == "attempt 2 started from step 1200"
    assert format_event(Event(kind="started", text="x"), make_job()) == "attempt 1 started"
    assert format_event(Event(kind="failed", text="exit code 1\x1b"), job) == "exit code 1�"


def test_perdures_lines_go_to_stderr_and_those_that_say_nothing_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for kind in ("submitted", "starting", "waiting"):
        tell_event(Event(kind=kind, text=f"it is {kind}"), make_job())
    assert capsys.readouterr() == ("", "perdure: it is waiting\n")


def test_job_names_are_completed_and_ids_where_no_name_fits(tmp_path: Path) -> None:
    service = FakeService((make_job("k7mq2xwp", "gpt"), make_job("k7zzzzzz", "gpt"), make_job("p3x9aa2b", "bert")))
    with serving(service, tmp_path / "s") as served:
        assert list_words(served.socket_path, "") == ["bert", "gpt"]
        assert list_words(served.socket_path, "g") == ["gpt"]
        assert list_words(served.socket_path, "k7") == ["k7mq2xwp", "k7zzzzzz"]


def test_completion_without_a_daemon_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_words(tmp_path / "none", "g") == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_asks_perdure_itself(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["completion", shell]) == 0
    assert "_PERDURE_COMPLETE" in capsys.readouterr().out


def test_the_shell_is_offered_the_jobs_of_the_daemon(tmp_path: Path) -> None:
    code = "from perdured.cli.main import main; main()"
    asked = {"_PERDURE_COMPLETE": "bash_complete", "COMP_WORDS": "perdure show g", "COMP_CWORD": "2"}
    with serving(FakeService((make_job(),)), tmp_path / "s") as served:
        environment = {**os.environ, **asked, "PERDURE_SOCKET_PATH": str(served.socket_path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.stdout, done.stderr) == ("plain,gpt\n", "")
