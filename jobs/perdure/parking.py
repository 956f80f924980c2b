"""Standing still while the machine may be taken away.

The state was saved; now nothing of the run moves: no batch is drawn, no number, so that a run that is let go on is one
that was never told to wait. It costs no processor time: the process sleeps on the line to its keeper, and says now and
then that it is there. Four things end it: the keeper's word, a signal, the keeper's death (nobody else could ever let
the run go on), and the end of the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from perdure.channel import Channel
from perdured.contract import messages

_LOOK_EVERY = 0.5
"""Seconds until a signal is noticed: its handler only sets a flag."""
_TELL_EVERY = 5.0


def offer_to_park(channel: Channel) -> None:
    channel.send({"type": messages.CAN_PARK})


def stand_still(channel: Channel, step: int, *, is_saved: bool, is_over: Callable[[], bool]) -> None:
    """Returns when the keeper no longer wants it, or `is_over` says so."""
    told_at = float("-inf")
    while channel.park_wish is not None and not is_over():
        if time.monotonic() - told_at >= _TELL_EVERY:
            told_at = time.monotonic()
            channel.send({"type": messages.PARKED, "step": step, "saved": is_saved, "at": told_at})
        channel.listen(_LOOK_EVERY)
    channel.send({"type": messages.GOING_ON, "at": time.monotonic()})
