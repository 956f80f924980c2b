"""Looks at the metadata services of Alibaba Cloud and Tencent Cloud for the end of a spot instance.

Made after their pages and tried against an imitation of these; no instance of either was at hand.
"""

from __future__ import annotations

from perdured.core.notices.answer import Answer, expect_ok
from perdured.core.notices.notice import Notice, SourceName
from perdured.core.notices.termination import parse_alibaba, parse_tencent

from .eyes import Eyes, Tell
from .parts import Kind, Part, watch_parts
from .web import Request, fetch

EVERY = 5.0
WITHIN = 1.0
TOKEN_LASTS = 21600
RENEW_BEFORE = 60.0
_WORKS = "spot interruptions of this instance"


class Alibaba:
    """With a session token, as AWS has it."""

    name: SourceName = "alibaba"

    def __init__(self, url: str, eyes: Eyes) -> None:
        self._url = url
        self._eyes = eyes
        self._token: tuple[str, float] | None = None
        """With when it has to be renewed."""

    async def watch(self, tell: Tell) -> None:
        await watch_parts(Kind(self.name, lambda: _WORKS), [Part("spot", EVERY, self._look)], tell, self._eyes.haste)

    async def _look(self) -> tuple[Notice, ...]:
        answer = await self._get()
        if answer.status in (401, 403) and self._token is not None:  # it may have been forgotten
            self._token = None
            answer = await self._get()
        return parse_alibaba(answer, self._eyes.look(answer))

    async def _get(self) -> Answer:
        if self._token is None or self._eyes.clock() >= self._token[1]:
            headers = {"X-aliyun-ecs-metadata-token-ttl-seconds": str(TOKEN_LASTS)}
            granted = expect_ok(await fetch(Request("PUT", f"{self._url}/latest/api/token", headers), WITHIN)).strip()
            self._token = (granted, self._eyes.clock() + TOKEN_LASTS - RENEW_BEFORE)
        url = f"{self._url}/latest/meta-data/instance/spot/termination-time"
        return await fetch(Request("GET", url, {"X-aliyun-ecs-metadata-token": self._token[0]}), WITHIN)


class Tencent:
    name: SourceName = "tencent"

    def __init__(self, url: str, eyes: Eyes) -> None:
        self._url = url
        self._eyes = eyes

    async def watch(self, tell: Tell) -> None:
        await watch_parts(Kind(self.name, lambda: _WORKS), [Part("spot", EVERY, self._look)], tell, self._eyes.haste)

    async def _look(self) -> tuple[Notice, ...]:
        answer = await fetch(Request("GET", f"{self._url}/latest/meta-data/spot/termination-time"), WITHIN)
        return parse_tencent(answer, self._eyes.look(answer))
