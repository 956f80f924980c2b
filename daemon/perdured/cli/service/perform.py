"""Performs the steps of `plan.py`, and says each that changed something."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from perdured.cli.output import say
from perdured.contract.durable import make_directories, write_file
from perdured.errors import BadUsage, PerdureError

from .plan import ACCOUNT, Call, Files, Remove, Step, Write

FILES = Path(__file__).parents[2] / "systemd"
"""The units and what belongs to them; the folder `systemd` of the repository shows the same files."""
BOOTED = Path("/run/systemd/system")
"""There when systemd is process 1 (sd_booted(3))."""


def load_files(*, is_user: bool) -> Files:
    if is_user:
        return Files(_read("user/perdured.service"))
    return Files(_read("perdured.service"), _read("sysusers.d/perdure.conf"), _read("tmpfiles.d/perdure.conf"))


def _read(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def refuse_without_systemd() -> None:
    if not BOOTED.is_dir():
        raise PerdureError(
            "There is no service to install here.",
            "This machine was not booted by systemd.",
            "Run `perdured` by hand, or one job with `perdure run`.",
        )


def refuse_all_but_root() -> None:
    if os.geteuid() != 0:
        raise BadUsage(
            "The machine's service was not touched.",
            "Only root may do that.",
            "Say --user for a service of your own, or call it again with sudo.",
        )


def refuse_hidden_program(program: Path) -> None:
    """The account of the daemon can start only what everybody can."""
    for place in (program, *program.parents, *Path(os.path.realpath(program)).parents):
        if not place.stat().st_mode & stat.S_IXOTH:
            raise PerdureError(
                f"{program} cannot be the machine's service.",
                f"It would run as the account {ACCOUNT}, which may not enter {place}.",
                "Install Perdure where everybody may read it, such as with `pipx install --global`; or say --user.",
            )


def find_uid() -> int | None:
    """Of the daemon's account, once there is one."""
    try:
        return pwd.getpwnam(ACCOUNT).pw_uid
    except KeyError:
        return None


def perform(steps: Iterable[Step]) -> None:
    """Raises PerdureError at the first that fails. Doing them all again does no harm."""
    for step in steps:
        match step:
            case Write(path, text):
                _write(Path(path), text)
            case Remove(path):
                _remove(path)
            case Call():
                _call(step)


def _write(path: Path, text: str) -> None:
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else None
        if before == text:
            return
        make_directories(path.parent)
        write_file(path, text.encode(), mode=0o644)
    except OSError as error:
        why = f"{error.strerror or error}."
        raise PerdureError(f"{path} could not be written.", why, "Nothing was started.") from error
    say(f"{'Wrote' if before is None else 'Replaced'} {path}")


def _remove(path: PurePosixPath) -> None:
    try:
        Path(path).unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise PerdureError(f"{path} could not be removed.", f"{error.strerror}.", "Remove it by hand.") from error
    say(f"Removed {path}")


def _call(call: Call) -> None:
    words = " ".join(call.command)
    try:
        done = subprocess.run(call.command, capture_output=True, text=True, check=False)
    except OSError as error:
        code, said = 127, error.strerror or str(error)
    else:
        code, said = done.returncode, done.stderr.strip().replace("\n", "; ")
    if code == 0:
        return
    if call.is_needed:
        raise PerdureError(f"`{words}` failed.", said or f"It ended with {code}.", "Mend that, and call it again.")
    say(f"`{words}` failed, which may be as it should: {said or code}")
