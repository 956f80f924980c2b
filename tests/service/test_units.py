"""The units are right by reading: systemd accepts them, their numbers fit the daemon's, each line has its reason."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from perdured.contract import exits
from perdured.core.spec import StopSection
from support.sources import ROOT

SYSTEMD = ROOT / "systemd"
UNITS = [SYSTEMD / "perdured.service", SYSTEMD / "user" / "perdured.service"]
MARGIN = 30.0
"""Seconds between the end of the longest usual grace and systemd's own patience: the kill, its record, the exit."""
TIME = {"s": 1.0, "min": 60.0}

each_unit = pytest.mark.parametrize("unit", UNITS, ids=["system", "user"])
needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


def _read_unit(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(path.read_text(encoding="utf-8"))
    return unit


def _seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|min)", text).groups()  # type: ignore[union-attr]
    return float(number) * TIME[unit]


def _directives(path: Path) -> list[str]:
    unit = _read_unit(path)
    return [key for section in unit.sections() for key in unit[section]]


def _copy_with_a_program(unit: Path, folder: Path) -> Path:
    """systemd looks for the program on this very machine, where Perdure may not be installed."""
    copy = folder / unit.name
    copy.write_text(
        re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    return copy


def _analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)},
    )


@needs_analyze
@each_unit
def test_systemd_has_nothing_to_say_about_it(unit: Path, tmp_path: Path) -> None:
    scope = "--user" if unit.parent.name == "user" else "--system"
    copy = _copy_with_a_program(unit, tmp_path)
    said = _analyze(tmp_path, scope, "verify", "--recursive-errors=no", str(copy))
    assert (said.returncode, said.stderr) == (0, "")


@needs_analyze
def test_a_misspelt_directive_would_be_seen(tmp_path: Path) -> None:
    """The check above can fail."""
    copy = _copy_with_a_program(UNITS[0], tmp_path)
    copy.write_text(copy.read_text(encoding="utf-8").replace("WatchdogSec=", "WatchdogSecs="), encoding="utf-8")
    said = _analyze(tmp_path, "--system", "verify", "--recursive-errors=no", str(copy))
    assert said.returncode
    assert "WatchdogSecs" in said.stderr


@needs_analyze
def test_the_sandbox_of_the_daemon_leaves_little_open(tmp_path: Path) -> None:
    """An exposure of 2.0 at most, in tenths."""
    copy = _copy_with_a_program(UNITS[0], tmp_path)
    said = _analyze(tmp_path, "security", "--offline=true", "--no-pager", "--threshold=20", str(copy))
    assert not said.returncode, said.stdout


@each_unit
def test_no_job_is_in_the_sandbox(unit: Path) -> None:
    assert "--keepers units" in _read_unit(unit)["Service"]["ExecStart"]


@each_unit
def test_the_sandbox_takes_nothing_that_jobs_share_with_the_daemon(unit: Path) -> None:
    """Their files, their shared memory, what they have in /tmp, their processes' environment, and the GPUs."""
    breaking = {
        "ProtectHome",
        "PrivateTmp",
        "PrivateUsers",
        "RemoveIPC",
        "PrivateDevices",
        "PrivateNetwork",
        "ProcSubset",
    }
    service = _read_unit(unit)["Service"]
    assert not breaking & set(service)
    assert service.get("ProtectSystem") != "strict"


@each_unit
def test_stopping_leaves_time_for_the_longest_usual_grace(unit: Path) -> None:
    assert _seconds(_read_unit(unit)["Service"]["TimeoutStopSec"]) >= StopSection().grace + MARGIN


@each_unit
def test_the_watchdog_forgives_a_slow_disk_and_no_hang(unit: Path) -> None:
    assert 10 <= _seconds(_read_unit(unit)["Service"]["WatchdogSec"]) <= 60


@each_unit
def test_jobs_survive_the_daemon(unit: Path) -> None:
    service = _read_unit(unit)["Service"]
    assert (service["KillMode"], service["NotifyAccess"]) == ("process", "main")


@each_unit
def test_only_errors_that_would_repeat_prevent_a_restart(unit: Path) -> None:
    statuses = _read_unit(unit)["Service"]["RestartPreventExitStatus"].split()
    assert {int(status) for status in statuses} == {exits.BAD_USAGE, exits.PERMANENT}


def test_the_network_the_disks_and_the_bus_are_stopped_after_the_daemon() -> None:
    after = set(_read_unit(UNITS[0])["Unit"]["After"].split())
    assert {"network-online.target", "remote-fs.target", "dbus.service"} <= after


@each_unit
def test_the_daemon_knows_the_options_that_the_unit_gives(unit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from perdured.__main__ import main

    with pytest.raises(SystemExit):
        main(["--help"])
    options = re.findall(r"--[a-z-]+", _read_unit(unit)["Service"]["ExecStart"])
    assert options
    assert set(options) <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


def test_every_directive_has_its_reason() -> None:
    reasons = (SYSTEMD / "README.md").read_text(encoding="utf-8")
    assert not [key for unit in UNITS for key in _directives(unit) if f"`{key}=" not in reasons]


def test_tmpfiles_and_the_unit_make_the_same_directories() -> None:
    service = _read_unit(UNITS[0])["Service"]
    lines = (SYSTEMD / "tmpfiles.d" / "perdure.conf").read_text(encoding="utf-8").splitlines()
    made = {fields[1]: fields[2] for line in lines if (fields := line.split())[:1] == ["d"]}
    assert made == {
        f"/var/lib/{service['StateDirectory']}": service["StateDirectoryMode"],
        f"/run/{service['RuntimeDirectory']}": service["RuntimeDirectoryMode"],
    }


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="systemd-sysusers is not installed")
@pytest.mark.root
def test_sysusers_makes_the_account_that_the_unit_names(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    conf = SYSTEMD / "sysusers.d" / "perdure.conf"
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", str(conf)], check=True, timeout=30, capture_output=True)
    accounts = (tmp_path / "etc" / "passwd").read_text(encoding="utf-8")
    assert accounts.startswith(_read_unit(UNITS[0])["Service"]["User"] + ":")
