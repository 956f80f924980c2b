"""The metadata server of Google Compute Engine: two keys, and requests that hang until one changes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from .world import Asked, Reply, World

_KEYS: Mapping[str, tuple[str, str]] = {
    "/computeMetadata/v1/instance/preempted": ("preempted", "FALSE"),
    "/computeMetadata/v1/instance/maintenance-event": ("maintenance_event", "NONE"),
    "/computeMetadata/v1/instance/scheduling/preemptible": ("", "TRUE"),
    "/computeMetadata/v1/instance/scheduling/on-host-maintenance": ("", "TERMINATE"),
}
_FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}


def answer_gcp(world: World, asked: Asked) -> Reply:
    place = urlsplit(asked.path)
    if asked.headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in asked.headers:
        return Reply(403, "Missing required header: Metadata-Flavor")
    if place.path not in _KEYS:
        return Reply(404, "Not Found", _FLAVOR)
    key, usual = _KEYS[place.path]
    query = {name: values[-1] for name, values in parse_qs(place.query).items()}
    with world.changed:
        world.subscribed.add(key)
        if query.get("wait_for_change") == "true":
            _wait(world, key, query)
        etag = _make_etag(world.version("gcp", key))
        return Reply(200, str(world.get("gcp", key, usual)), {**_FLAVOR, "ETag": etag}, "application/text")


def _wait(world: World, key: str, query: Mapping[str, str]) -> None:
    """Until the etag is another than the one given; without one, until the next change. After the timeout, the same."""
    last = query.get("last_etag", _make_etag(world.version("gcp", key)))
    until = time.monotonic() + float(query.get("timeout_sec", "3600"))
    while last == _make_etag(world.version("gcp", key)) and not world.closing:
        left = until - time.monotonic()
        if left <= 0 or world.get("manners", "drop"):
            return
        world.changed.wait(left)


def _make_etag(version: int) -> str:
    return f"{0x9E3779B97F4A7C15 * (version + 1) % 2**64:016x}"
