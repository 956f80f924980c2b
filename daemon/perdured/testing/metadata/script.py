"""A script: at which second what changes.

    {"steps": [
        {"at": 0,  "azure": {"machine": "gpu-7"}},
        {"at": 10, "aws": {"spot": {"action": "terminate", "in": 120}}, "say": "the notice"},
        {"at": 12, "manners": {"status": 503, "times": 3}},
        {"at": 40, "aws": {"spot": null}}
    ]}

What a step sets stays until another step sets it anew; null takes it back. A wrong key is an error that names the right
ones: a script that does something else than it says would prove nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

KEYS: Mapping[str, tuple[str, ...]] = {
    "aws": (
        *("spot", "termination_time", "rebalance", "maintenance", "history", "lifecycle", "life_cycle"),
        *("off", "tokens_optional", "token_lasts_requests", "forget_tokens"),
    ),
    "gcp": ("preempted", "maintenance_event", "subscribed_only"),
    "alibaba": ("termination_time",),
    "tencent": ("here", "termination_time"),
    "azure": ("machine", "events", "incarnation", "first_answer_after"),
    "manners": (
        *("only", "times", "status", "delay", "silent", "reset", "drop", "slow_body", "garbage", "redirect"),
        "connections",
    ),
}


class BadScript(ValueError):
    pass


class Step(NamedTuple):
    at: float
    change: Mapping[str, Mapping[str, Any] | None]
    say: str = ""


def parse_script(text: str) -> tuple[Step, ...]:
    """In the order of their times."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BadScript(f"no JSON: {error}") from None
    steps = content.get("steps") if isinstance(content, dict) else None
    if not isinstance(steps, list):
        raise BadScript('a script is {"steps": [...]}')
    return tuple(sorted((_parse_step(step) for step in steps), key=lambda step: step.at))


def _parse_step(step: object) -> Step:
    if not isinstance(step, dict) or not isinstance(step.get("at"), int | float):
        raise BadScript(f'a step needs "at", in seconds: {step}')
    change = {key: value for key, value in step.items() if key not in ("at", "say")}
    check_change(change)
    return Step(float(step["at"]), change, str(step.get("say", "")))


def check_change(change: Mapping[str, object]) -> None:
    """Raises BadScript for what nobody would react to."""
    for part, keys in change.items():
        if part not in KEYS:
            raise BadScript(f"unknown: {part!r}; a step changes {', '.join(KEYS)}")
        if keys is not None and not isinstance(keys, dict):
            raise BadScript(f"{part} is an object, or null")
        wrong = [key for key in keys or {} if key not in KEYS[part]]
        if wrong:
            raise BadScript(f"unknown: {part}.{wrong[0]}; {part} has {', '.join(KEYS[part])}")
