"""One run of the carrier, from the daemon's side: an order in, reports out."""

from __future__ import annotations

from collections.abc import Callable

from perdured.processes import Carrier, start_carrier

from .orders import HURRY, REPORT, Done, Failed, Order, Report

_MORE = "Nothing has to be done: it is tried again."


class Run:
    """`hurry` lifts its limit, whether it has started yet or not."""

    def __init__(self, order: Order, env: dict[str, str], take: Callable[[Report], None]) -> None:
        self._order = order
        self._env = env
        self._take = take
        self._carrier: Carrier | None = None
        self._hurries = False

    async def perform(self) -> Done | Failed:
        """Whatever becomes of it, no carrier is left when it returns or is cancelled."""
        last: Report | None = None
        try:
            self._carrier = await start_carrier(self._order.model_dump_json().encode(), self._env)
        except OSError as error:
            return _say_failed(f"{error.strerror or error}.")
        if self._hurries:
            self._carrier.say(HURRY)
        try:
            async for line in self._carrier.read_lines():
                last = REPORT.validate_json(line)
                self._take(last)
        except ValueError:
            return _say_failed("It said something that is no report.")
        finally:
            said = await self._carrier.end()
        return last if isinstance(last, Done | Failed) else _say_failed(said or "It ended without a word.")

    def hurry(self) -> None:
        self._hurries = True
        if self._carrier is not None:
            self._carrier.say(HURRY)


def _say_failed(why: str) -> Failed:
    return Failed(what="The carrier of the remote tier failed.", why=why, todo=_MORE)
