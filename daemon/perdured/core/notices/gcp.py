"""What the metadata server of Google Compute Engine says. Pure.

Both keys hold a word and never a time: a deadline counts from when the word was first seen. `preempted` turns TRUE
together with the order to power off, 30 seconds before the end; a machine with a longer notice cannot be told apart
from within, so that the window is a setting. A host's maintenance is announced a minute ahead, on machines with GPUs
an hour.
"""

from __future__ import annotations

from .answer import Answer, Failed, Look, expect_ok, shorten
from .notice import Notice, make_notice_id

FLAVOR = "google"
PREEMPTED_WINDOW = 30.0
MAINTENANCE_WINDOW = 60.0
GPU_MAINTENANCE_WINDOW = 3600.0
MIGRATION_LASTS = 60.0
"""Seconds, at most, that a live migration makes the machine stand still or slow."""


def parse_preempted(answer: Answer, look: Look, window: float) -> tuple[Notice, ...]:
    """`instance/preempted`."""
    word = _read_word(answer)
    if word == "FALSE":
        return ()
    if word != "TRUE":
        raise Failed(f"preempted is neither TRUE nor FALSE: {shorten(word)}")
    notice = Notice(
        id=make_notice_id("gcp", "preempted"),
        kind="reclaim",
        source="gcp",
        why="Google takes this Spot machine back",
        deadline=look.at + window,
        sureness="ceiling",
        follows="power_off",
        disk="unknown",
        received_at=look.at,
        boot_id=look.boot_id,
        raw=word,
    )
    return (notice,)


def parse_maintenance(answer: Answer, look: Look, window: float) -> tuple[Notice, ...]:
    """`instance/maintenance-event`. `window`: of a machine that does not migrate."""
    word = _read_word(answer)
    if word == "NONE":
        return ()
    known = ("MIGRATE_ON_HOST_MAINTENANCE", "TERMINATE_ON_HOST_MAINTENANCE")
    if word not in known:
        raise Failed(f"maintenance-event is unknown: {shorten(word)}")
    is_moved = word == known[0]
    notice = Notice(
        id=make_notice_id("gcp", "maintenance", word),
        kind="migrate" if is_moved else "maintenance",
        source="gcp",
        why="Google moves this machine to another host" if is_moved else "Google stops this machine for its host",
        deadline=look.at + (MAINTENANCE_WINDOW if is_moved else window),
        sureness="ceiling",
        follows="pause" if is_moved else "power_off",
        disk="kept" if is_moved else "unknown",
        lasts=MIGRATION_LASTS if is_moved else None,
        received_at=look.at,
        boot_id=look.boot_id,
        raw=word,
    )
    return (notice,)


def _read_word(answer: Answer) -> str:
    text = expect_ok(answer).strip()
    if answer.headers.get("metadata-flavor", "").lower() != FLAVOR:
        raise Failed("what answers is not Google's metadata server: its answer lacks Metadata-Flavor", is_lasting=True)
    return text
