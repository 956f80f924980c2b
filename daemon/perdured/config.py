"""The daemon's own settings: the command line over the environment over a file over the defaults."""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from .capacity import Limits
from .contract import environment
from .core.access import ROOT, RunAs
from .core.spec import Count, Duration, Size
from .errors import BadUsage
from .notices.settings import NoticeSettings, list_overrides
from .processes import Keepers
from .state.paths import default_socket_path, default_state_dir

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

URL = r"(s3|gs|az|abfs|file)://[^\s]+"
Url = Annotated[str, StringConstraints(pattern=f"^{URL}$")]
SHORTEST_LEASE = 2.0
OnStop = Literal["leave", "park", "auto"]


class Config(NamedTuple):
    state_dir: Path
    socket: Path
    on_stop: OnStop
    limits: Limits = Limits()
    keepers: Keepers = "children"
    notices: NoticeSettings = NoticeSettings()
    join: str | None = None
    lease: float = 60.0
    """Seconds."""
    run_as: RunAs | None = None
    """None: as submitters where root starts it."""

    @property
    def serves_all(self) -> bool:
        """All users of the machine, and not only the one who started it."""
        return os.geteuid() == ROOT and self.run_as != "daemon"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    state_dir: Path | None = Field(None, description="a path")
    socket: Path | None = Field(None, description="a path")
    on_stop: OnStop | None = Field(None, description='"leave", "park" or "auto"')
    jobs: Count | None = Field(None, ge=1, description="a whole number, 1 or more: so many jobs run at once")
    cpus: Count | None = Field(None, ge=0, description="a whole number of CPUs, 0 or more, for all jobs together")
    memory: Size | None = Field(None, description='a size such as "64GiB", for all jobs together')
    keepers: Keepers | None = Field(None, description='"children" or "units"')
    run_as: RunAs | None = Field(None, description='"submitter" or "daemon"')
    notices: NoticeSettings = Field(NoticeSettings(), description="a table")
    gpus: tuple[str, ...] | None = Field(
        None, description='a list of UUIDs such as ["GPU-0a1b…"] that jobs may be given'
    )
    join: Url | None = Field(None, description='a URL such as "s3://bucket/fleet"')
    lease: Duration = Field(60.0, ge=SHORTEST_LEASE, description='a duration such as "1min", 2 s or more')


def load_config(given: argparse.Namespace) -> Config:
    file = _load_file(given.config) if given.config else _File()
    _refuse_to_become_others(given.run_as or file.run_as)
    return Config(
        state_dir=(given.state_dir or file.state_dir or default_state_dir()).absolute(),
        socket=(given.socket or file.socket or default_socket_path()).absolute(),
        on_stop=given.on_stop or file.on_stop or "auto",
        limits=Limits(file.jobs, file.cpus, file.memory, file.gpus),
        keepers=given.keepers or file.keepers or "children",
        notices=override_notices(file.notices, os.environ),
        join=_check_join(given.join or file.join),
        lease=file.lease,
        run_as=given.run_as or file.run_as,
    )


def _check_join(url: str | None) -> str | None:
    """Raises BadUsage."""
    if url is None:
        return None
    if not re.fullmatch(URL, url):
        todo = "Give a bucket and a prefix, such as --join s3://bucket/fleet"
        raise BadUsage(f"{url!r} cannot be joined.", "It is no URL of s3, gs, az or file.", todo)
    if importlib.util.find_spec("obstore") is None:
        todo = "Install the extra `remote` there: pip install 'perdure[remote]'"
        raise BadUsage(
            "To join needs the library obstore.", f"It is not installed beside perdured ({sys.prefix}).", todo
        )
    return url


def _refuse_to_become_others(run_as: RunAs | None) -> None:
    if run_as == "submitter" and os.geteuid() != ROOT:
        what = "Jobs can run as their submitters only where root starts perdured."
        raise BadUsage(what, f"This is user {os.geteuid()}.", "Leave out --run-as, and run_as in the config.")


def override_notices(settings: NoticeSettings, env: Mapping[str, str]) -> NoticeSettings:
    """Raises BadUsage."""
    try:
        return NoticeSettings.model_validate(settings.model_dump(exclude_unset=True) | list_overrides(env))
    except ValidationError as error:
        wrong = error.errors()[0]
        key = str(wrong["loc"][0])
        why = f"It is {wrong['input']!r} and must be {NoticeSettings.model_fields[key].description}."
        todo = f"Correct or unset {environment.NOTICES}{key.upper()}; docs/notices.md lists the other names."
        raise BadUsage(f"The environment's word for notices.{key} cannot be used.", why, todo) from None


def _load_file(path: Path) -> _File:
    may = (
        "state_dir, socket, on_stop (leave, park or auto), keepers (children or units), run_as (submitter or daemon), "
        "jobs, cpus, memory, gpus, join, lease"
    )
    todo = f"It may have {may}, and a table [notices]."
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadUsage(f"The config {path} cannot be read.", str(error.strerror), "Check --config.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadUsage(f"The config {path} is not TOML.", str(error), todo) from None
    except ValidationError as error:
        wrong = "; ".join(_say_wrong([str(part) for part in each["loc"]], each["input"]) for each in error.errors())
        raise BadUsage(f"The config {path} has errors.", wrong, todo) from None


def _say_wrong(place: list[str], found: object) -> str:
    """As for a spec: what was found, and what would be right."""
    is_of_notices = place[0] == "notices" and len(place) > 1
    fields = NoticeSettings.model_fields if is_of_notices else _File.model_fields
    key = place[1] if is_of_notices else place[0]
    name = f"notices.{key}" if is_of_notices else key
    if key in fields:
        return f"{name}: found {json.dumps(found, default=str)}; it must be {fields[key].description}"
    near = difflib.get_close_matches(key, fields, n=1)
    return f'{name}: unknown key; did you mean "{near[0]}"?' if near else f"{name}: unknown key"
