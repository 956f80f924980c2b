"""Which GPUs an end speaks against. Nothing is given to a job that has failed another, until a person says otherwise.

A fault that goes with the process (an illegal access, a page fault: NVIDIA says "restart the application") does not
count: it is the program's. Where the kernel's log names a device of the attempt, that one is meant; else nobody knows
which of its devices it was, and all of them are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from perdured.core.ends.cause import Cause
from perdured.core.ends.end import End
from perdured.core.ends.xid import ADVICE_TEXT, Advice, find_advice

_XID = re.compile(r"NVRM: Xid \((?:PCI:)?(?P<bus>[0-9A-Fa-f:.]+)\): (?P<code>\d+)")
_HARMLESS = (Advice.NOTHING, Advice.RESTART_HERE)


def find_faulty(end: End, gpus: Sequence[str], buses: Mapping[str, str]) -> tuple[str, ...]:
    """Of the attempt's GPUs those that are not to be used any more; `buses` has the PCI address of each, by UUID."""
    if end.cause != Cause.GPU_FAULT or end.advice in [ADVICE_TEXT[advice] for advice in _HARMLESS]:
        return ()
    found = (_XID.search(line) for line in end.kernel)
    named = {_plain(match["bus"]) for match in found if match and find_advice(int(match["code"])) not in _HARMLESS}
    meant = tuple(gpu for gpu in gpus if gpu in buses and _plain(buses[gpu]) in named)
    return meant or tuple(gpus)


def _plain(bus: str) -> str:
    """ "00000000:65:00.0" and "0000:65:00" are one device."""
    domain, _, rest = bus.lower().partition(":")
    return f"{domain[-4:]}:{rest.partition('.')[0]}"
