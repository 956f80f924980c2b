"""The daemon's own settings: the command line over the environment over a file over the defaults."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from perdured.capacity import Limits
from perdured.config import Config, load_config
from perdured.errors import BadUsage


def given(config: Path | None = None, **options: object) -> argparse.Namespace:
    usual = {"config": config, "state_dir": None, "socket": None, "on_stop": None, "keepers": None, "join": None}
    usual["run_as"] = None
    return argparse.Namespace(**(usual | options))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "perdured.toml"
    path.write_text('state_dir = "/of/the/file"\nsocket = "/file.sock"\non_stop = "park"')
    return path


def test_a_file_gives_what_the_command_line_leaves_open(file: Path) -> None:
    assert load_config(given(file)) == Config(Path("/of/the/file"), Path("/file.sock"), "park")
    config = load_config(given(file, state_dir=Path("/given"), on_stop="leave"))
    assert config == Config(Path("/given"), Path("/file.sock"), "leave")


def test_the_environment_gives_what_neither_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_STATE_DIR", "/of/the/environment")
    monkeypatch.setenv("PERDURE_SOCKET_PATH", "/environment.sock")
    assert load_config(given()) == Config(Path("/of/the/environment"), Path("/environment.sock"), "auto")


def test_the_defaults_of_a_user_follow_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    config = load_config(given())
    assert (config.state_dir, config.socket) == (
        Path("/home/me/state/perdure"),
        Path("/run/user/1000/perdure/perdured.sock"),
    )


def test_the_defaults_of_root_are_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_STATE_HOME", "/root/state")
    config = load_config(given())
    assert (config.state_dir, config.socket) == (Path("/var/lib/perdure"), Path("/run/perdure/perdured.sock"))


def test_a_file_says_how_much_the_jobs_may_have_together(tmp_path: Path) -> None:
    path = tmp_path / "perdured.toml"
    path.write_text('jobs = 8\ncpus = 4\nmemory = "1GiB"')
    assert load_config(given(path)).limits == Limits(8, 4, 1 << 30)
    assert load_config(given()).limits == Limits(None, None, None)


def test_hosts_join_by_the_command_line_or_the_file(tmp_path: Path) -> None:
    path = tmp_path / "perdured.toml"
    path.write_text('join = "s3://bucket/fleet"\nlease = "5min"')
    config = load_config(given(path))
    assert (config.join, config.lease) == ("s3://bucket/fleet", 300.0)
    assert load_config(given(path, join="gs://other")).join == "gs://other"
    assert (load_config(given()).join, load_config(given()).lease) == (None, 60.0)


@pytest.mark.parametrize("text", ['join = "bucket/fleet"', 'lease = "1s"', "join = 3"])
def test_what_cannot_be_joined_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "perdured.toml"
    path.write_text(text)
    with pytest.raises(BadUsage, match=text.partition(" ")[0]):
        load_config(given(path))
    with pytest.raises(BadUsage, match="no URL"):
        load_config(given(join="bucket/fleet"))


def test_relative_places_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper changes to another directory; what it is told must not depend on where it is."""
    monkeypatch.chdir(tmp_path)
    assert load_config(given(state_dir=Path("state"))).state_dir == tmp_path / "state"


@pytest.mark.parametrize(
    ("content", "what", "why"),
    [
        (b"state_dir = \n", "is not TOML", "line 1"),
        (b"\xff\xfe", "is not TOML", "utf-8"),
        (b"on_stop = 'never'", "has errors", 'on_stop: found "never"; it must be "leave", "park" or "auto"'),
        (b"state_dri = '/x'", "has errors", 'state_dri: unknown key; did you mean "state_dir"?'),
        (b"zzz = 1", "has errors", "zzz: unknown key"),
        (b"jobs = 0", "has errors", "jobs: found 0; it must be a whole number, 1 or more"),
        (b"state_dir = 3\nsocket = 4", "has errors", "socket"),
    ],
)
def test_a_wrong_file_is_told_in_three_lines(tmp_path: Path, content: bytes, what: str, why: str) -> None:
    path = tmp_path / "perdured.toml"
    path.write_bytes(content)
    with pytest.raises(BadUsage) as refused:
        load_config(given(path))
    lines = str(refused.value).splitlines()
    assert what in lines[0]
    assert str(path) in lines[0]
    assert why in lines[1]
    assert "on_stop" in lines[-1]
    assert len(lines) == 3


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadUsage, match="cannot be read"):
        load_config(given(tmp_path / name))


def test_the_sources_of_notices_are_set_by_the_file_and_above_it_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "perdured.toml"
    path.write_text('[notices]\ncloud = "aws"\naws_url = "http://one/"\ngrace = "2min"\n')
    notices = load_config(given(path)).notices
    assert (notices.cloud, notices.aws_url, notices.grace) == ("aws", "http://one", 120.0)
    monkeypatch.setenv("PERDURE_NOTICES_AWS_URL", "http://two")
    notices = load_config(given(path)).notices
    assert (notices.cloud, notices.aws_url) == ("aws", "http://two")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('cloud = "oracle"', 'notices.cloud: found "oracle"; it must be "auto", "none", "aws", '),
        ('clod = "aws"', 'notices.clod: unknown key; did you mean "cloud"?'),
        ("grace = true", "notices.grace: found true"),
    ],
)
def test_what_is_wrong_with_the_sources_of_notices_is_told_by_its_key(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "perdured.toml"
    path.write_text(f"[notices]\n{line}\n")
    with pytest.raises(BadUsage) as raised:
        load_config(given(path))
    assert told in raised.value.why


def test_a_wrong_word_of_the_environment_is_told_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", "")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "https://x")
    with pytest.raises(BadUsage, match=r"notices\.aws_url"):
        load_config(given())


@pytest.mark.parametrize(
    ("uid", "run_as", "serves_all"),
    [(0, None, True), (0, "submitter", True), (0, "daemon", False), (1000, None, False), (1000, "daemon", False)],
)
def test_root_serves_all_users_unless_told_otherwise_and_nobody_else_does(
    monkeypatch: pytest.MonkeyPatch, uid: int, run_as: str | None, serves_all: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert load_config(given(run_as=run_as)).serves_all == serves_all


def test_who_is_not_root_cannot_run_jobs_as_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    path = tmp_path / "perdured.toml"
    path.write_text('run_as = "submitter"')
    with pytest.raises(BadUsage, match="only where root starts perdured"):
        load_config(given(path))
