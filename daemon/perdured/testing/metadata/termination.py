"""The metadata services of Alibaba Cloud and Tencent Cloud, as their pages describe the end of a spot instance."""

from __future__ import annotations

import secrets
import time
from typing import Any

from .world import Asked, Reply, World, format_rfc3339

_TTL = "x-aliyun-ecs-metadata-token-ttl-seconds"
_GRANTED = "x-aliyun-ecs-metadata-token"
_ALIBABA = "/latest/meta-data/instance/spot/termination-time"
_TENCENT = "/latest/meta-data/spot/termination-time"


def find_maker(world: World, asked: Asked) -> str | None:
    """Whose the request is, where it is not one to AWS: the services share the beginning of their paths."""
    if _TTL in asked.headers or _GRANTED in asked.headers or asked.path == _ALIBABA:
        return "alibaba"
    return "tencent" if asked.path == _TENCENT and world.get("tencent", "here") else None


def answer_alibaba(world: World, asked: Asked) -> Reply:
    if asked.method == "PUT":
        return _grant_token(world, asked)
    token = asked.headers.get(_GRANTED)
    with world.changed:
        if token is None or token not in world.tokens:
            return Reply(403, "Forbidden")
    time_of_end = world.get("alibaba", "termination_time")
    return Reply(404, "Not Found") if time_of_end is None else Reply(200, _format(time_of_end))


def answer_tencent(world: World, asked: Asked) -> Reply:  # noqa: ARG001 - as the others
    time_of_end = world.get("tencent", "termination_time")
    if time_of_end is None:
        return Reply(404, "Not Found")
    return Reply(200, time_of_end if isinstance(time_of_end, str) else _format_beijing(time_of_end["at"]))


def _grant_token(world: World, asked: Asked) -> Reply:
    ttl = asked.headers.get(_TTL, "")
    if asked.path != "/latest/api/token" or not ttl.isdecimal() or not 1 <= int(ttl) <= 21600:
        return Reply(400, "Bad Request")
    token = secrets.token_urlsafe(40)
    with world.changed:
        world.tokens[token] = 0
    return Reply(200, token)


def _format(moment: Any) -> str:
    return moment if isinstance(moment, str) else format_rfc3339(moment["at"])


def _format_beijing(at: float) -> str:
    """Eight hours ahead, and it does not say so."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at + 8 * 3600))
