from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click

from perdured.cli.follow import ask_patiently, is_at_rest
from perdured.cli.logs import Position, find_start, read_on
from perdured.cli.output import print_bytes, print_json, say
from perdured.cli.settings import Settings, job_argument, json_option, pass_settings, place_options
from perdured.cli.text import DIM, Cell, paint
from perdured.client import Client
from perdured.errors import NoSuchJob
from perdured.wire import Attempt, Job, Log

_LOOK_AGAIN_AFTER = 0.3
"""Seconds between looks at a log that grows; an event of the job ends the pause."""


@click.command("logs")
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, over restarts, until the job has come to rest.")
@click.option("--attempt", type=int, metavar="N", help="Only this attempt's output.")
@click.option("-n", "--lines", type=click.IntRange(min=0), metavar="N", help="Begin with the last N lines.")
@json_option
@place_options
@pass_settings
def command(
    settings: Settings, /, job: str, *, follow: bool, attempt: int | None, lines: int | None, as_json: bool
) -> None:
    """Print what a job printed, over all its attempts.

    The output goes to standard output as it is, and a line between two attempts to standard error. With --json: where
    each attempt's file is.
    """
    client = settings.connect()
    found = client.show(job)
    logs = _choose(client.list_logs(found["id"]), attempt)
    if as_json:
        print_json({"schema": 1, "logs": logs})
        return
    if attempt is not None and attempt not in [each["number"] for each in found["attempts"]]:
        raise NoSuchJob(f"Job {job} has no attempt {attempt}.", "", f"`perdure show {job}` lists its attempts.")
    start = find_start(client, found["id"], logs, lines)
    printer = _Printer(client, found["id"], attempt, start)
    printer.print_new(found, logs)
    if follow:
        _follow(printer)
    elif not logs:
        say(f"Job {job} has printed nothing: {found['reason']}.")


def _choose(logs: Sequence[Log], attempt: int | None) -> list[Log]:
    return [log for log in logs if attempt in (None, log["attempt"])]


class _Printer:
    """Prints what is new since the last time, and says where another attempt begins."""

    def __init__(self, client: Client, job: str, attempt: int | None, start: Position) -> None:
        self.client = client
        self.job = job
        self.attempt = attempt
        self._next = start
        self._announced = start.attempt if start == Position(start.attempt, 0) and attempt is not None else 0

    def print_new(self, job: Job, logs: Sequence[Log]) -> None:
        for log in logs:
            if log["attempt"] >= self._next.attempt:
                self._print_attempt(job, log["attempt"])

    def _print_attempt(self, job: Job, number: int) -> None:
        offset = self._next.offset if number == self._next.attempt else 0
        for chunk in read_on(partial(self.client.read_log, self.job, number), offset):
            self._announce(job, number)
            print_bytes(chunk)
            offset += len(chunk)
        self._next = Position(number, offset)

    def _announce(self, job: Job, number: int) -> None:
        """Nothing before a job's first and only attempt: most jobs never fail."""
        if number != self._announced:
            self._announced = number
            if number > 1 and self.attempt is None:
                say(format_separator(next(each for each in job["attempts"] if each["number"] == number)))


def format_separator(attempt: Attempt) -> str:
    step = attempt["resumed_from_step"]
    origin = "from the beginning" if step is None else f"from step {step}"
    return paint(Cell(f"── attempt {attempt['number']}, {origin} ──", DIM))


def _follow(printer: _Printer) -> None:
    after = 0
    while True:
        # The state first: what an ended job printed is all there, and printed below.
        job = ask_patiently(partial(printer.client.show, printer.job))
        logs = ask_patiently(partial(printer.client.list_logs, printer.job))
        ask_patiently(partial(printer.print_new, job, _choose(logs, printer.attempt)))
        if is_at_rest(job) or _has_ended(job, printer.attempt):
            return
        look = partial(printer.client.list_events, after, printer.job, wait=_LOOK_AGAIN_AFTER)
        after = ask_patiently(look)["next"]


def _has_ended(job: Job, number: int | None) -> bool:
    return any(each["number"] == number and each["ended_at"] is not None for each in job["attempts"])
