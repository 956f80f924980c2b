"""`perdured`: the daemon.

It holds no job itself: each has a keeper of its own, so this process may be killed, restarted or replaced at any time,
and finds its jobs again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from . import __version__
from .capacity import observe_capacity
from .clock import Clock, start_clock
from .config import Config, load_config
from .core.queue.machine import Machine
from .descriptors import raise_limit
from .entrance import Entrance, open_entrance
from .errors import PerdureError
from .machine import is_machine_going_down
from .notices.finding import observe_surroundings
from .notices.listening import Listening
from .notify import notify_ready, notify_stopping, notify_watchdog, watchdog_interval
from .processes.first import is_served, serve_as_first
from .spool import Spool
from .state.home import open_state
from .state.host import join_again, take_host
from .supervise.fleet import make_joined
from .supervise.service import Service
from .tasks import finish_within
from .users.deputy import receive_settings, take_channel
from .users.inside import Inside
from .users.notices import RelayedNotices
from .users.settings import parse_settings

_log = logging.getLogger("perdured")
_SIGNALS = (
    "SIGTERM and SIGINT end the daemon as --on-stop says. SIGHUP is ignored, so that it outlives the terminal in which "
    "it was started; there is nothing to reload. SIGUSR1 (notices.signal) says that all this is about to end."
)
_AFTER_THE_GRACE = 60.0
"""Seconds that killing a tree, recording its end and closing may take on a machine that is busy going down."""


def main(arguments: Sequence[str] | None = None) -> int:
    return serve_as_first(partial(_main, arguments))


def _main(arguments: Sequence[str] | None) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="perdured: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # By a handler and not SIG_IGN, which every job would inherit.
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    raise_limit()
    try:
        return asyncio.run(_serve(*_read_config(arguments)))
    except PerdureError as error:
        print(f"perdured: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        _log.info("SIGINT: ending; the jobs run on")
        return 130


def _read_config(arguments: Sequence[str] | None) -> tuple[Config, socket.socket | None]:
    """And a deputy's channel to the daemon that has started it, which tells it the settings."""
    given = _parse_arguments(arguments)
    if not given.deputy:
        return load_config(given), None
    channel = take_channel()
    return parse_settings(receive_settings(channel), given.state_dir), channel


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    about = "Supervises training jobs. See `perdure --help`."
    parser = argparse.ArgumentParser("perdured", description=about, epilog=_SIGNALS)
    parser.add_argument("--state-dir", type=Path, metavar="D", help="where jobs and their history are kept")
    parser.add_argument("--socket", type=Path, metavar="S", help="where the command line and other clients connect")
    parser.add_argument("--config", type=Path, metavar="F", help="a TOML file: where, on_stop, limits, [notices]")
    parser.add_argument(
        "--on-stop",
        choices=("leave", "park", "auto"),
        help="what running jobs do when the daemon is told to stop: run on (leave), save and wait for the next start "
        "(park), or park only when the machine goes down (auto, the default)",
    )
    parser.add_argument(
        "--keepers",
        choices=("children", "units"),
        help="what holds each attempt: a process that the daemon starts (children, the default), or a unit of systemd "
        "beside the daemon's own (units)",
    )
    parser.add_argument(
        "--join",
        metavar="URL",
        help="take over the jobs of hosts that are gone, and let others take over ours: all of them join one place in "
        "a bucket, such as s3://bucket/fleet",
    )
    parser.add_argument(
        "--run-as",
        choices=("submitter", "daemon"),
        help="whom each job runs as: its submitter (submitter, the default for root, who serves all users of the "
        "machine), or whoever starts the daemon, which then serves nobody else (daemon)",
    )
    parser.add_argument("--deputy", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"perdured {__version__}")
    return parser.parse_args(arguments)


async def _serve(config: Config, channel: socket.socket | None) -> int:
    clock = start_clock()
    gc.disable()  # while they are loaded it would look through all that came before, again and again
    with open_state(config.state_dir, clock) as (state, registry):
        url = join_again(state, config.join)
        entrance = open_entrance(config, channel)
        machine = Machine(observe_capacity(config.limits), gpus=config.limits.gpus or ())
        service = Service(state, registry, clock, machine, config.keepers)
        fleet = service.join(make_joined(take_host(state), url, config.lease)) if url is not None else None
        listening = _open_listening(config, state.root, clock) if channel is None else RelayedNotices(state.root, clock)
        await service.start()
        gc.freeze()  # thousands of records stay as long as the daemon does
        gc.enable()
        if fleet is not None:
            fleet.begin()
        try:
            await _work_until_stopped(_Parts(service, listening, Spool(state.spool, service), entrance))
            why = entrance.why_to_park or _find_reason_to_park(config)
            parting = asyncio.create_task(entrance.end(why), name="parting")
            if why is not None:
                await _park(service, why)
                if fleet is not None:
                    await fleet.leave()
            await parting
        finally:
            notify_stopping("leaving the jobs to their keepers")
            if fleet is not None:
                await fleet.close()
            await service.close()
            entrance.close()
    return 0


def _open_listening(config: Config, root: Path, clock: Clock) -> Listening:
    return Listening(config.notices, observe_surroundings(os.environ), root, clock)


class _Parts(NamedTuple):
    service: Service
    listening: Listening | RelayedNotices
    spool: Spool
    entrance: Entrance


async def _work_until_stopped(parts: _Parts) -> None:
    stopped = asyncio.Event()
    service, listening = parts.service, parts.listening
    _obey_signals(stopped, listening)
    work = [
        asyncio.create_task(_serve_clients(parts), name="api"),
        asyncio.create_task(parts.entrance.run(Inside(service.desk.sharing, service, listening)), name="entrance"),
        asyncio.create_task(parts.spool.run(), name="spool"),
        asyncio.create_task(listening.run(parts.entrance.widen(service)), name="notices"),
        asyncio.create_task(_feed_watchdog(), name="watchdog"),
    ]
    notify_ready(f"serving {len(service.list_jobs(everything=False))} jobs")
    _log.info("ready; jobs run on when this process ends")
    await asyncio.wait([*work, asyncio.ensure_future(stopped.wait())], return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in work if task.done()]
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    for task in failed:
        task.result()  # a part that failed ends the daemon with its error, and systemd starts it again


def _obey_signals(stopped: asyncio.Event, listening: Listening | RelayedNotices) -> None:
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        _log.info("%s: ending", number.name)
        if listening.ends_by(number.name):
            listening.hear(number.name)
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(stop, number))
    if listening.signal is not None:
        loop.add_signal_handler(signal.Signals[listening.signal], listening.hear, listening.signal)
    loop.add_signal_handler(signal.SIGHUP, _log.info, "SIGHUP is ignored; the daemon and its jobs go on")


async def _serve_clients(parts: _Parts) -> None:
    """Imported in a thread of its own, so that the jobs, all adopted sooner than that, need not wait; clients do."""
    server = await asyncio.to_thread(importlib.import_module, "perdured.api.server")
    await server.serve(parts.service, parts.listening, parts.entrance.source)


async def _feed_watchdog() -> None:
    """From the loop that supervises, never from a thread of its own: a stuck loop must be noticed."""
    interval = watchdog_interval()
    while True:
        await asyncio.sleep(interval or 3600)
        notify_watchdog()


def _find_reason_to_park(config: Config) -> str | None:
    if config.on_stop == "park":
        return "the daemon was told to stop"
    if config.on_stop == "auto" and is_served():
        return "the container is told to stop"
    return "the machine is going down" if config.on_stop == "auto" and is_machine_going_down() else None


async def _park(service: Service, why: str) -> None:
    _log.info("%s: every job is asked to save", why)
    notify_stopping(f"{why}: the jobs save", within=service.longest_grace() + _AFTER_THE_GRACE)
    await service.ask_all_to_park(why)
    await service.wait_until_all_rest()
    limit = service.longest_copy()
    if limit > 0:
        notify_stopping(f"{why}: the last checkpoints are copied to their remotes", within=limit + _AFTER_THE_GRACE)
        with contextlib.suppress(asyncio.TimeoutError):
            await finish_within(service.wait_until_uploaded(), limit)


if __name__ == "__main__":
    sys.exit(main())
