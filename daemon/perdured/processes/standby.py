"""Starts a standby and keeps it until it is taken, or not wanted any more.

Nothing of it can run on its own: its keeper ends it when the daemon's end of the channel closes, and it ends by itself
when its keeper has gone. Should it hang meanwhile, the next one's start, or the daemon's, finds it by the nonce in its
environment, as what is left of an attempt is found: its directory looks like that of an attempt that never ran.

A program that began before it was told to would be a second writer. So before each standby the same interpreter is
asked, with the same options and environment and a program that does nothing, whether it comes by the gate; and the
modules of the gate are copied into the standby's directory first, where no upgrade takes them away in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from perdured.contract import durable, environment
from perdured.core.standby import Program, find_program
from perdured.errors import PerdureError
from perdured.keeper import channel, records
from perdured.keeper.explain import find_command
from perdured.keeper.records import Want
from perdured.tasks import finish_within

from .launch import PROGRAM, Ends, open_keeper
from .orphan import perform_clean
from .units import Unit, name_standby

PREPARE_CEILING = 300.0
"""Seconds for all imports; what needs longer is left to the attempt itself."""
_PROBE_CEILING = 30.0
_PROBED = 87
_SITE = "site"
_MODULES = {"gate": "sitecustomize", "freshness": "perdure_freshness", "rehearsal": "perdure_rehearsal"}
"""Of `perdure.standby`, with the names under which the interpreter finds them."""
_LAST_WORDS = 500


class StandbyOrder(NamedTuple):
    directory: Path
    job: str
    argv: tuple[str, ...]
    env: dict[str, str]
    """That of the job, without what tells one attempt from another."""
    workdir: str
    preload: tuple[str, ...]
    environ: Mapping[str, str] | None = None
    """The environment in which they were imported before."""
    in_unit: bool = False
    grace: float = 0.0
    """That of the attempt which it may become: a unit is told when it is started."""
    memory: int | None = None
    """The same."""


class NoStandby(PerdureError):
    """There is none, and nothing of it is left."""


class Standby:
    """A process that waits to be the next attempt."""

    def __init__(self, order: StandbyOrder, nonce: str, ends: Ends) -> None:
        self.order = order
        self.nonce = nonce
        self.unit = _make_unit(order, nonce)
        self._reader, self._writer = ends

    @property
    def is_alive(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    def take(self, directory: Path) -> Ends:
        """Its keeper goes over to this attempt. From here on it is looked for there alone."""
        (self.order.directory / records.WANT).unlink(missing_ok=True)
        self._writer.write(os.fsencode(f"{channel.TAKE} {directory}\n"))
        return self._reader, self._writer

    def end(self) -> None:
        """Its keeper sees to it that nothing is left of it."""
        self._writer.close()


async def start_standby(order: StandbyOrder) -> Standby:
    """Returns when it waits at its gate. Raises NoStandby or OSError; cancelled, nothing is left either."""
    nonce = secrets.token_hex(16)
    program = await asyncio.to_thread(_lay_out, order, nonce)
    await _ask_interpreter(order, program)
    ends = await open_keeper(order.directory, _make_unit(order, nonce), PROGRAM, "standby")
    standby = Standby(order, nonce, ends)
    try:
        await _wait_until_ready(order, ends[0])
    except BaseException:
        standby.end()
        raise
    return standby


def _make_unit(order: StandbyOrder, nonce: str) -> Unit | None:
    if not order.in_unit:
        return None
    return Unit(name_standby(order.job, nonce), f"Perdure: a standby of job {order.job}", order.grace, order.memory)


def clear_standby(directory: Path) -> None:
    """Ends what is left of a standby whose daemon and keeper are gone. Raises PerdureError or OSError."""
    perform_clean(directory)


def _lay_out(order: StandbyOrder, nonce: str) -> Program:
    program = observe_program(order)
    if isinstance(program, str):
        raise _none(program)
    clear_standby(order.directory)
    site = order.directory / _SITE
    shutil.rmtree(site, ignore_errors=True)
    durable.make_directories(order.directory, 0o700)
    site.mkdir(mode=0o700)
    for name, known_as in _MODULES.items():
        shutil.copyfile(_find_half() / f"{name}.py", site / f"{known_as}.py")
    told = {"modules": order.preload, "environ": order.environ, "words": len(order.argv)}
    (site / "preload.json").write_text(json.dumps(told))
    records.save_want(order.directory, _make_want(order, nonce))
    return program


def _make_want(order: StandbyOrder, nonce: str) -> Want:
    path = [str(order.directory / _SITE), *filter(None, [order.env.get("PYTHONPATH")])]
    env = {**order.env, "PYTHONPATH": os.pathsep.join(path), environment.ATTEMPT_NONCE: nonce}
    return Want(order.job, 0, nonce, order.argv, env, order.workdir, stop_signal=15, grace=0.0, cgroup=None)


def _find_half() -> Path:
    """The training side's part of a standby: looked up and never imported here, it is for the job's interpreter."""
    spec = importlib.util.find_spec("perdure")
    if spec is None or spec.origin is None:
        raise _none("the package perdure is not installed beside perdured")
    return Path(spec.origin).parent / "standby"


def observe_program(order: StandbyOrder) -> Program | str:
    """What Python is to run; or why the command can have no standby, in words."""
    program = find_program(order.argv)
    path = find_command(_make_want(order, "")) if isinstance(program, str) else None
    if path is None:
        return program
    path = os.path.join(order.workdir, path)
    with contextlib.suppress(OSError), open(path, "rb") as file:
        first = file.read(256).split(b"\n", 1)[0].decode("utf-8", "replace")
        words = first[2:].split() if first.startswith("#!") else []
        if words[:1] and words[0].rsplit("/", 1)[-1] == "env":
            del words[0]
        if words:
            found = find_program([*words, path])
            return found if isinstance(found, Program) else program
    return program


async def _ask_interpreter(order: StandbyOrder, program: Program) -> None:
    """Whether it comes by the gate before it runs a program. Raises NoStandby."""
    env = {**_make_want(order, "").env, environment.STANDBY: "probe"}
    silence = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *(*program.interpreter, "-c", "raise SystemExit(86)"),
        stdin=silence,
        stdout=silence,
        stderr=silence,
        env=env,
        cwd=order.workdir,
        start_new_session=True,
    )
    try:
        status = await finish_within(process.wait(), _PROBE_CEILING)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, asyncio.TimeoutError):
            raise _none("its interpreter takes too long to come up") from None
        raise
    if status != _PROBED:
        raise _none("its interpreter cannot be stopped before the program (it does not import sitecustomize)")


async def _wait_until_ready(order: StandbyOrder, reader: asyncio.StreamReader) -> None:
    try:
        line = await finish_within(reader.readline(), PREPARE_CEILING)
    except asyncio.TimeoutError:
        raise _none(f"its imports took longer than {PREPARE_CEILING:.0f} s") from None
    except ConnectionError:
        line = b""
    word, _, text = line.decode(errors="replace").strip().partition(" ")
    if word != channel.STANDING:
        tail = await asyncio.to_thread(_read_end, order.directory / "standby.log")
        raise _none(f"{text or 'its keeper ended without a word'}{f' ({tail})' if tail else ''}")


def _read_end(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_bytes().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:_LAST_WORDS] if lines else ""
    return ""


def _none(why: str) -> NoStandby:
    return NoStandby("The job has no standby.", why, "Its next attempt starts as the first one did.")
