"""What the instance metadata service of AWS says. Pure.

Nothing pending is a 404 everywhere but for maintenance, where it is an empty list (and 404 from imitations). There are
no ids: one is made of the content, so that a time that stays the same stays the same notice.

| says | deadline | sure | then |
|---|---|---|---|
| spot: terminate, stop | its time | exactly | power off, the instance's own disks are lost when terminated |
| spot: hibernate | its time, which is now | exactly | power off |
| rebalance | none | | perhaps nothing |
| maintenance | NotBefore | or later | reboot, power off, or a pause |
| autoscaling: Terminated | none is told: a usual hook's time | a guess | power off |
"""

from __future__ import annotations

from .answer import Answer, Failed, Look, cut_raw, expect_ok, parse_json, parse_object, shorten
from .notice import Disk, Follows, Kind, Notice, make_notice_id
from .times import parse_http_date, parse_rfc3339

LIFECYCLE_GUESS = 30.0
"""Seconds. Without a hook an instance is terminated at once; the answer does not say whether there is one."""

_SPOT: dict[str, tuple[Kind, str, Disk]] = {
    "terminate": ("reclaim", "AWS takes this spot instance back and terminates it", "lost"),
    "stop": ("reclaim", "AWS takes this spot instance back and stops it", "unknown"),
    "hibernate": ("reclaim", "AWS takes this spot instance back and hibernates it now", "unknown"),
}
_MAINTENANCE: dict[str, tuple[Kind, Follows, str, Disk]] = {
    "instance-reboot": ("reboot", "reboot", "AWS reboots this instance", "kept"),
    "system-reboot": ("reboot", "reboot", "AWS reboots the host of this instance", "kept"),
    "system-maintenance": ("maintenance", "pause", "AWS maintains the network or power of this host", "kept"),
    "instance-retirement": ("retire", "power_off", "AWS retires this instance", "lost"),
    "instance-stop": ("stop", "power_off", "AWS stops this instance", "unknown"),
}


def parse_spot(answer: Answer, look: Look) -> tuple[Notice, ...]:
    """`spot/instance-action`."""
    if answer.status == 404:
        return ()
    text = expect_ok(answer)
    said = parse_object(text)
    action, time = said.get("action"), said.get("time")
    at = parse_rfc3339(time) if isinstance(time, str) else None
    if not isinstance(action, str) or at is None:
        raise Failed(f"the spot notice cannot be read: {shorten(text)}")
    kind, why, disk = _SPOT.get(action, ("reclaim", f"AWS takes this spot instance back ({action})", "unknown"))
    notice = Notice(
        id=make_notice_id("aws", "spot", action, str(time)),
        kind=kind,
        source="aws",
        why=why,
        deadline=look.to_ours(at),
        sureness="exact",
        follows="power_off",
        disk=disk,
        received_at=look.at,
        boot_id=look.boot_id,
        raw=cut_raw(text),
    )
    return (notice,)


def parse_rebalance(answer: Answer, look: Look) -> tuple[Notice, ...]:
    """`events/recommendations/rebalance`."""
    if answer.status == 404:
        return ()
    text = expect_ok(answer)
    time = parse_object(text).get("noticeTime")
    if not isinstance(time, str):
        raise Failed(f"the rebalance advice cannot be read: {shorten(text)}")
    notice = Notice(
        id=make_notice_id("aws", "rebalance", time),
        kind="rebalance",
        source="aws",
        why="AWS may soon take this spot instance back",
        deadline=None,
        sureness="guess",
        follows="perhaps",
        received_at=look.at,
        boot_id=look.boot_id,
        raw=cut_raw(text),
    )
    return (notice,)


def parse_maintenance(answer: Answer, look: Look) -> tuple[Notice, ...]:
    """`events/maintenance/scheduled`."""
    if answer.status == 404:
        return ()
    text = expect_ok(answer)
    events = parse_json(text)
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise Failed(f"the maintenance events cannot be read: {shorten(text)}")
    return tuple(_read_event(event, look) for event in events if event.get("State") in ("active", None))


def _read_event(event: dict[str, object], look: Look) -> Notice:
    code, before = event.get("Code"), event.get("NotBefore")
    at = parse_http_date(before) if isinstance(before, str) else None
    if not isinstance(code, str) or at is None:
        raise Failed(f"a maintenance event cannot be read: {shorten(str(event))}")
    unheard: tuple[Kind, Follows, str, Disk] = ("maintenance", "power_off", f"AWS has planned {code}", "unknown")
    kind, follows, why, disk = _MAINTENANCE.get(code, unheard)
    return Notice(
        id=make_notice_id("aws", "maintenance", str(event.get("EventId")), code, str(before)),
        kind=kind,
        source="aws",
        why=why,
        deadline=look.to_ours(at),
        sureness="not_before",
        follows=follows,
        disk=disk,
        received_at=look.at,
        boot_id=look.boot_id,
        raw=cut_raw(str(event)),
    )


def parse_lifecycle(answer: Answer, look: Look) -> tuple[Notice, ...]:
    """`autoscaling/target-lifecycle-state`. It holds no time, so what is guessed counts from when it was first seen."""
    if answer.status == 404:
        return ()
    text = expect_ok(answer).strip()
    if text not in ("Terminated", "Warmed:Terminated"):
        return ()
    notice = Notice(
        id=make_notice_id("aws", "lifecycle", text),
        kind="retire",
        source="aws",
        why="the autoscaling group terminates this instance",
        deadline=look.at + LIFECYCLE_GUESS,
        sureness="guess",
        follows="power_off",
        disk="lost",
        received_at=look.at,
        boot_id=look.boot_id,
        raw=text,
    )
    return (notice,)
