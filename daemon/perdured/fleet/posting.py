"""A job as any host can take it up: what the bucket holds of it, and what a host lacks for it. Pure.

Carried: the spec, the name, where it was run. Not carried: the environment of the submitter, the code, the virtual
environment, data. A job that is taken over gets the environment of the daemon that takes it, with the spec's `env` over
it; of that, what is named like a secret is withheld from the bucket, and must be in the new daemon's own environment.
A workdir below the submitter's home is looked for below the home of the new host's user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from perdured.core.record import JobRecord
from perdured.core.spec import Spec
from perdured.core.value import Value
from perdured.state.submission import Submission

HOME = "~/"
_SECRET = re.compile("KEY|SECRET|TOKEN|PASSW|CREDENTIAL", re.IGNORECASE)
_OF_A_SERVICE = re.compile(
    r"PERDURE_.*|NOTIFY_SOCKET|WATCHDOG_.*|LISTEN_.*|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_.*|MAINPID|MANAGERPID|"
    r"(RUNTIME|STATE|CACHE|LOGS|CONFIGURATION|CREDENTIALS)_DIRECTORY"
)
"""What an environment says of the daemon itself, and of none of its jobs."""


class Posting(Value):
    format: int = 1
    id: str
    name: str
    submitted_at: float
    workdir: str
    spec: Spec
    withheld: tuple[str, ...] = ()
    """Names of the spec's `env` that are not carried."""


def make_posting(submission: Submission, record: JobRecord) -> Posting:
    spec = submission.spec
    withheld = tuple(sorted(name for name in spec.env if _SECRET.search(name)))
    carried = {name: value for name, value in spec.env.items() if name not in withheld}
    return Posting(
        id=record.id,
        name=record.name,
        submitted_at=record.submitted_at,
        workdir=_shorten(submission.workdir, submission.env.get("HOME")),
        spec=spec.model_copy(update={"env": carried, "fresh_start": False}),
        withheld=withheld,
    )


def _shorten(workdir: str, home: str | None) -> str:
    if not home or not Path(workdir).is_relative_to(Path(home)) or Path(home) == Path("/"):
        return workdir
    return HOME + str(Path(workdir).relative_to(home))


def take_up(posting: Posting, env: Mapping[str, str], home: Path) -> Submission:
    """As if it had been submitted here; `env` is the daemon's own."""
    workdir = str(home / posting.workdir[len(HOME) :]) if posting.workdir.startswith(HOME) else posting.workdir
    secrets = {name: env[name] for name in posting.withheld if name in env}
    spec = posting.spec.model_copy(update={"env": {**posting.spec.env, **secrets}, "after": ()})
    own = {name: value for name, value in env.items() if not _OF_A_SERVICE.fullmatch(name)}
    return Submission(spec, {**own, **spec.env}, workdir)


def find_lack(
    posting: Posting,
    taken: Submission,
    is_folder: Callable[[str], bool],
    find_program: Callable[[str, str], str | None],
) -> str | None:
    """What this host lacks to run it, in words. `find_program` looks for a name in a PATH."""
    missing = [name for name in posting.withheld if name not in taken.env]
    if missing:
        return f"{', '.join(missing)} of its env is not carried, and not in the environment of perdured here"
    if not is_folder(taken.workdir):
        return f"there is no {taken.workdir} here: its code has to be brought there"
    program = taken.spec.command[0]
    path = str(Path(taken.workdir, program)) if "/" in program else program
    if find_program(path, taken.env.get("PATH", "")) is None:
        return f"its command {program} is not here"
    return None
