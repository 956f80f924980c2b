"""What every verb may need: where the daemon answers, where the state lies, and the options that say so."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from perdured.state.paths import find_socket_path

if TYPE_CHECKING:
    from perdured.client import Client

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


class Settings(NamedTuple):
    """Left open (None) they are the defaults of `perdured.state.paths`, environment included."""

    socket: Path | None = None
    state_dir: Path | None = None

    @property
    def socket_path(self) -> Path:
        return self.socket or find_socket_path()

    def connect(self) -> Client:
        """Imported here, so that help and the verbs that need no daemon do without http.client."""
        from perdured.client import Client

        return Client(self.socket_path)


def _store(field: str) -> Callable[[click.Context, click.Parameter, Path | None], None]:
    def store(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
        settings = context.find_object(Settings) or Settings()
        if value is not None:
            settings = settings._replace(**{field: value})
        context.obj = settings

    return store


def place_options(function: AnyFunction) -> AnyFunction:
    """`--socket` and `--state-dir`: taken before the verb and after it."""
    path = click.Path(path_type=Path)
    socket = click.option(
        "--socket",
        type=path,
        expose_value=False,
        callback=_store("socket"),
        metavar="PATH",
        help="The daemon's socket (or PERDURE_SOCKET_PATH).",
    )
    state_dir = click.option(
        "--state-dir",
        type=path,
        expose_value=False,
        callback=_store("state_dir"),
        metavar="DIR",
        help="Where Perdure keeps its state (or PERDURE_STATE_DIR).",
    )
    return socket(state_dir(function))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")

pass_settings = click.make_pass_decorator(Settings, ensure=True)


def terminal_width() -> int | None:
    """Columns of the terminal on standard output; None when it is none, and lines are not cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def complete_jobs(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from .complete import list_words

    return list_words((context.find_object(Settings) or Settings()).socket_path, incomplete)


job_argument = click.argument("job", metavar="JOB", shell_complete=complete_jobs)
jobs_argument = click.argument("jobs", metavar="JOB…", nargs=-1, required=True, shell_complete=complete_jobs)
