"""Says in words why a command could not be started: what, why, and what to do about it."""

from __future__ import annotations

import errno
import os

from .leader import StartError
from .records import Want

_BAD_WORKDIR = {
    errno.ENOENT: "does not exist",
    errno.ENOTDIR: "is not a directory",
    errno.EACCES: "may not be entered by this user",
}


def explain(want: Want, error: StartError) -> str:
    if error.stage == "workdir":
        why = _BAD_WORKDIR.get(error.errno, f"cannot be entered: {error.text}")
        return f"cannot start {want.argv[0]!r}: its working directory {want.workdir} {why}; correct workdir in the spec"
    return f"cannot start {want.argv[0]!r}: {_explain_exec(want, error)}"


def _explain_exec(want: Want, error: StartError) -> str:
    command = want.argv[0]
    found = find_command(want)
    if error.errno == errno.ENOENT and found is not None:
        return f"{found} is there, but the interpreter its first line names is not; correct its #! line"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if os.sep in command:
            return f"there is no such file (seen from {want.workdir}); correct the command or workdir"
        return "no such command in PATH, as it was in the shell that submitted the job; give its full path"
    if error.errno == errno.EACCES:
        return f"{found or command} may not be executed by this user; chmod +x it, or name its interpreter"
    if error.errno == errno.ENOEXEC:
        return f"{found or command} is no program of this machine and has no #! line; name its interpreter"
    if error.errno == errno.E2BIG:
        return "its arguments and environment are too long together; pass less by the command line or environment"
    return f"{error.text}; correct the command"


def find_command(want: Want) -> str | None:
    """The file that the command's name leads to, in the job's PATH and working directory; None when there is none."""
    if os.sep in want.argv[0]:
        places = [want.workdir]
    else:
        path = want.env.get("PATH", os.defpath)
        places = [os.path.join(want.workdir, place) for place in path.split(os.pathsep)]
    files = (os.path.join(place, want.argv[0]) for place in places)
    return next((file for file in files if os.path.isfile(file)), None)
