"""What the scheduled events of Azure say. Pure.

The events of the whole group are told to every machine in it, so those of neighbours are left out by name. One that has
started has no time any more. One that vanishes is over, or was called off; there is no other word for either.
Of Preempt, Azure says "30 seconds at least", and people saw fewer than ten: its time is a ceiling.
"""

from __future__ import annotations

from typing import NamedTuple

from .answer import Answer, Failed, Look, cut_raw, expect_ok, parse_object, shorten
from .notice import Disk, Follows, Kind, Notice, Sureness
from .times import parse_http_date


class _Meaning(NamedTuple):
    kind: Kind
    why: str
    follows: Follows
    disk: Disk
    sureness: Sureness = "not_before"


_MEANINGS = {
    "Preempt": _Meaning("reclaim", "Azure takes this spot machine back", "power_off", "lost", "ceiling"),
    "Freeze": _Meaning("freeze", "Azure lets this machine stand still for a while", "pause", "kept"),
    "Reboot": _Meaning("reboot", "Azure reboots this machine", "reboot", "kept"),
    "Redeploy": _Meaning("maintenance", "Azure moves this machine to another host", "reboot", "lost"),
    "Terminate": _Meaning("retire", "this machine is deleted from its scale set", "power_off", "lost"),
}


def parse_events(answer: Answer, look: Look, machine: str) -> tuple[Notice, ...]:
    """Those that concern `machine`, by its name."""
    text = expect_ok(answer)
    events = parse_object(text).get("Events")
    if not isinstance(events, list):
        raise Failed(f"the scheduled events cannot be read: {shorten(text)}")
    return tuple(_read_event(event, look) for event in events if _concerns(event, machine))


def parse_machine_name(answer: Answer) -> str:
    """From `metadata/instance/compute`."""
    name = parse_object(expect_ok(answer)).get("name")
    if not isinstance(name, str) or not name:
        raise Failed("the machine's own name is not told")
    return name


def _concerns(event: object, machine: str) -> bool:
    if not isinstance(event, dict) or not isinstance(event.get("Resources"), list):
        raise Failed(f"a scheduled event cannot be read: {shorten(str(event))}")
    return machine.lower() in (str(name).lower() for name in event["Resources"])


def _read_event(event: dict[str, object], look: Look) -> Notice:
    type, name, lasts = event.get("EventType"), event.get("EventId"), event.get("DurationInSeconds")
    if not isinstance(type, str) or not isinstance(name, str):
        raise Failed(f"a scheduled event cannot be read: {shorten(str(event))}")
    unheard = _Meaning("maintenance", f"Azure has planned {type}", "power_off", "unknown")
    meaning = _MEANINGS.get(type, unheard)
    asked = " (a user asked for it)" if event.get("EventSource") == "User" else ""
    return Notice(
        id=f"azure-{name}",
        kind=meaning.kind,
        source="azure",
        why=meaning.why + asked,
        deadline=_find_time(event, look),
        sureness=meaning.sureness,
        follows=meaning.follows,
        disk=meaning.disk,
        lasts=float(lasts) if isinstance(lasts, int) and lasts >= 0 else None,
        received_at=look.at,
        boot_id=look.boot_id,
        raw=cut_raw(str(event)),
    )


def _find_time(event: dict[str, object], look: Look) -> float:
    before = event.get("NotBefore")
    if event.get("EventStatus") == "Started" or before in ("", None):
        return look.at
    at = parse_http_date(before) if isinstance(before, str) else None
    if at is None:
        raise Failed(f"the time of a scheduled event cannot be read: {shorten(str(before))}")
    return look.to_ours(at)
