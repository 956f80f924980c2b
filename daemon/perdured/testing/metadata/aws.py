"""The instance metadata service of AWS, as its user guide and the field reports describe it."""

from __future__ import annotations

import json
import secrets
from typing import Any

from .world import Asked, Reply, World, format_http_date, format_rfc3339

LONGEST_TTL = 21600
_XHTML = (
    '<?xml version="1.0" encoding="iso-8859-1"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
    '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n<html xmlns="http://www.w3.org/1999/xhtml" '
    'xml:lang="en" lang="en"><head><title>404 - Not Found</title></head><body><h1>404 - Not Found</h1></body></html>\n'
)
_TTL = "x-aws-ec2-metadata-token-ttl-seconds"
_GRANTED = "x-aws-ec2-metadata-token"


def answer_aws(world: World, asked: Asked) -> Reply:
    path = asked.path.partition("?")[0].rstrip("/")
    if world.get("aws", "off"):
        return Reply(403, "Forbidden")
    if asked.method == "PUT":
        return _grant_token(world, asked, path)
    if not _is_allowed(world, asked):
        return Reply(401, "Unauthorized")
    body = _find(world, path.removeprefix("/latest/meta-data"))
    ttl = {_TTL: str(LONGEST_TTL)} if _GRANTED in asked.headers else {}
    return Reply(404, _XHTML, ttl, "text/html") if body is None else Reply(200, body, ttl)


def _grant_token(world: World, asked: Asked, path: str) -> Reply:
    if path != "/latest/api/token" or "x-forwarded-for" in asked.headers:
        return Reply(403, "Forbidden")
    ttl = asked.headers.get(_TTL, "")
    if not ttl.isdecimal() or not 1 <= int(ttl) <= LONGEST_TTL:
        return Reply(400, "Bad Request")
    token = secrets.token_urlsafe(40)
    with world.changed:
        world.tokens[token] = 0
    return Reply(200, token, {_TTL: ttl})


def _is_allowed(world: World, asked: Asked) -> bool:
    token = asked.headers.get(_GRANTED)
    if token is None:
        return bool(world.get("aws", "tokens_optional"))
    limit = world.get("aws", "token_lasts_requests")
    with world.changed:
        if token not in world.tokens:
            return False
        world.tokens[token] += 1
        return limit is None or world.tokens[token] <= limit


def _find(world: World, path: str) -> str | None:
    """The body; None: there is nothing there."""
    if path == "/spot/instance-action":
        spot = world.get("aws", "spot")
        return None if spot is None else _format_spot(spot)
    if path == "/events/recommendations/rebalance":
        advice = world.get("aws", "rebalance")
        return None if advice is None else json.dumps({"noticeTime": format_rfc3339(advice["at"])})
    if path in ("/events/maintenance/scheduled", "/events/maintenance/history"):
        events = world.get("aws", "maintenance" if path.endswith("scheduled") else "history", [])
        return None if events == "404" else json.dumps([_format_event(event) for event in events])
    texts = {
        "/spot/termination-time": world.get("aws", "termination_time"),
        "/autoscaling/target-lifecycle-state": world.get("aws", "lifecycle"),
        "/instance-life-cycle": world.get("aws", "life_cycle", "spot"),
    }
    found = texts.get(path)
    return format_rfc3339(found["at"]) if isinstance(found, dict) else found


def _format_spot(spot: Any) -> str:
    """A text stands as it is: what a service that is ill may say."""
    if isinstance(spot, str):
        return spot
    return json.dumps({"action": spot.get("action", "terminate"), "time": format_rfc3339(spot["at"])})


def _format_event(event: dict[str, Any]) -> dict[str, str]:
    """`at` is its NotBefore; whatever else is named as AWS names it stands as it is."""
    date = format_http_date(event["at"]).partition(", ")[2]
    usual = {
        "NotBefore": date,
        "NotAfter": date,
        "Code": "instance-reboot",
        "Description": "scheduled reboot",
        "EventId": "instance-event-0d59937288b749b32",
        "State": "active",
    }
    return usual | {key: str(value) for key, value in event.items() if key != "at"}
