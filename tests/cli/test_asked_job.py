"""A command line becomes the same TOML that a person would have written."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from perdured.cli.asked_job import AskedJob, SpecOrCommand, build_spec, job_options, read_asked_job
from perdured.core.spec_text import parse_spec
from perdured.errors import BadUsage


def read(*arguments: str) -> AskedJob:
    @click.command("submit", cls=SpecOrCommand)
    @job_options
    @click.pass_context
    def command(context: click.Context, /, **asked: object) -> AskedJob:
        return read_asked_job(context, asked)

    job = command.main(list(arguments), prog_name="submit", standalone_mode=False)
    assert isinstance(job, AskedJob)
    return job


def test_a_command_after_two_dashes_is_taken_word_by_word() -> None:
    job = read("--", "python", "train.py", "--lr", "1e-3", "--", "a b")
    assert parse_spec(job.spec).command == ("python", "train.py", "--lr", "1e-3", "--", "a b")
    assert job.workdir == Path.cwd()


def test_each_option_sets_its_key_of_the_spec() -> None:
    options = {
        "--name": "gpt",
        "--workdir": "sub",
        "--checkpoint-dir": "out",
        "--every": "10min",
        "--keep": "4",
        "--pattern": "ckpt-*.pt",
        "--failures": "7",
        "--backoff": "2s..1min",
        "--grace": "30s",
        "--signal": "SIGUSR1",
    }
    words = [word for option in options.items() for word in option]
    words += ["--env", "A=1", "--env", "B=x=y", "--fresh-start"]
    words += ["--resume-arg", "--resume", "--resume-arg", "{checkpoint}"]
    spec = parse_spec(read(*words, "--", "python", "train.py").spec)
    assert (spec.name, spec.workdir, spec.env, spec.fresh_start) == ("gpt", "sub", {"A": "1", "B": "x=y"}, True)
    checkpoint = spec.checkpoint
    assert (checkpoint.dir, checkpoint.every.seconds, checkpoint.keep) == ("out", 600.0, 4)
    assert (checkpoint.pattern, checkpoint.resume_args) == ("ckpt-*.pt", ("--resume", "{checkpoint}"))
    assert (spec.restart.failures, spec.restart.backoff.first, spec.restart.backoff.longest) == (7, 2.0, 60.0)
    assert (spec.stop.grace, spec.stop.signal) == (30.0, "SIGUSR1")


def test_what_is_not_said_is_left_to_the_specs_defaults() -> None:
    assert build_spec({}, ["true"]) == 'command = ["true"]\n'


def test_a_zero_is_passed_on_for_the_daemon_to_judge() -> None:
    assert "keep = 0" in read("--keep", "0", "--", "true").spec


def test_a_specs_relative_paths_start_at_its_own_folder(tmp_path: Path) -> None:
    spec = tmp_path / "job.toml"
    spec.write_text('command = ["true"]\n')
    job = read(os.path.relpath(spec))
    assert (job.spec, job.workdir) == ('command = ["true"]\n', tmp_path)


def test_the_environment_is_that_of_the_submitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "1\n2")
    assert read("--", "true").env["MINE"] == "1\n2"


def test_a_variable_that_is_no_text_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "BYTES", os.fsdecode(b"\xff"))
    assert "BYTES" not in read("--", "true").env
    assert "'BYTES'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "neither a SPEC nor a command"),
        (("--",), "neither a SPEC nor a command"),
        (("here.toml", "--", "true"), "Either a SPEC or a command"),
        (("--name", "x", "here.toml"), "Given: name"),
        (("gone.toml",), "-- gone.toml"),
        (("train.py",), "Did you mean: submit -- python train.py"),
        (("python", "train.py", "a b"), "Did you mean: submit -- python train.py 'a b'"),
        (("--name", "x", "train.py", "--lr", "3"), "Did you mean: submit -- python train.py --lr 3"),
        (("go.sh",), "Did you mean: submit -- bash go.sh"),
        (("--env", "A", "--", "true"), "NAME=VALUE"),
        (("--env", "=A", "--", "true"), "NAME=VALUE"),
        (("--", os.fsdecode(b"\xff")), "not UTF-8"),
    ],
)
def test_what_cannot_be_meant_is_told_with_what_to_write_instead(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadUsage, match=said.replace("(", r"\(")):
        read(*arguments)


def test_a_wrong_option_beside_a_spec_is_not_taken_for_a_command() -> None:
    with pytest.raises(click.UsageError, match="No such option"):
        read("here.toml", "--nam", "x")


def test_a_spec_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadUsage, match="not UTF-8"):
        read(str(tmp_path / "job.toml"))
