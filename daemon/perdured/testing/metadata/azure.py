"""The scheduled events of Azure, for one machine among others, and its name."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .world import Asked, Reply, World, format_http_date

_MACHINE = "machine-0"


def answer_azure(world: World, asked: Asked) -> Reply:
    place = urlsplit(asked.path)
    if asked.headers.get("metadata", "").lower() != "true" or "api-version" not in parse_qs(place.query):
        return Reply(400, json.dumps({"error": "Bad request"}), type="application/json")
    if place.path == "/metadata/instance/compute":
        return _reply({"name": world.get("azure", "machine", _MACHINE), "provider": "Microsoft.Compute"})
    if place.path != "/metadata/scheduledevents":
        return Reply(404, json.dumps({"error": "Not found"}), type="application/json")
    if asked.method == "POST":
        return _approve(world, asked)
    _wait_until_enabled(world)
    events = world.get("azure", "events", [])
    incarnation = world.get("azure", "incarnation", world.version("azure", "events") + 1)
    return _reply(
        {
            "DocumentIncarnation": incarnation,
            "Events": [_format(world, number, each) for number, each in _count(events)],
        }
    )


def _wait_until_enabled(world: World) -> None:
    """The first request of a machine turns the service on, and waits for that."""
    while not world.closing and world.seconds_of_azure() < float(world.get("azure", "first_answer_after", 0)):
        time.sleep(0.02)


def _approve(world: World, asked: Asked) -> Reply:
    """An approved event starts, for every machine that it names."""
    try:
        ids = [str(each["EventId"]) for each in json.loads(asked.body)["StartRequests"]]
    except (ValueError, KeyError, TypeError):
        return Reply(400, json.dumps({"error": "Bad request"}), type="application/json")
    events = world.get("azure", "events", [])
    known = {_find_id(number, event) for number, event in _count(events)}
    if not set(ids) <= known:
        return Reply(400, json.dumps({"error": "unknown EventId"}), type="application/json")
    with world.changed:
        world.approved += ids
    started = [{**event, "status": "Started"} if _find_id(n, event) in ids else event for n, event in _count(events)]
    world.change({"azure": {"events": started}})
    return Reply(200)


def _count(events: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    return list(enumerate(events))


def _find_id(number: int, event: dict[str, Any]) -> str:
    return str(event.get("id", f"F020BA2E-{number}"))


def _format(world: World, number: int, event: dict[str, Any]) -> dict[str, Any]:
    """`at`, or none, is its NotBefore; one that has started has none."""
    has_time = event.get("status", "Scheduled") == "Scheduled" and "at" in event
    return {
        "EventId": _find_id(number, event),
        "EventType": event.get("type", "Preempt"),
        "ResourceType": "VirtualMachine",
        "Resources": event.get("machines", [world.get("azure", "machine", _MACHINE)]),
        "EventStatus": event.get("status", "Scheduled"),
        "NotBefore": format_http_date(event["at"]) if has_time else "",
        "Description": event.get("description", ""),
        "EventSource": event.get("source", "Platform"),
        "DurationInSeconds": event.get("duration", -1),
    }


def _reply(content: object) -> Reply:
    return Reply(200, json.dumps(content), type="application/json; charset=utf-8")
