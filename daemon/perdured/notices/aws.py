"""Looks at the instance metadata service of AWS, with a session token (IMDSv2) wherever there is one to be had.

A token that never arrives means one thing above all: the answer to the request for it may make a single hop, and in a
container there are two. Other answers may make more. So where the instance takes questions without a token as well
(IMDSv1), they are asked so, which the source says of itself, and now and then a token is asked for again. Where it does
not take them (401), the source is blind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdured.core.notices.answer import Answer, Failed, Look, expect_ok
from perdured.core.notices.aws import parse_lifecycle, parse_maintenance, parse_rebalance, parse_spot
from perdured.core.notices.notice import Notice, SourceName

from .eyes import Eyes, Tell
from .parts import Kind, Part, watch_parts
from .web import Request, Silent, fetch

WITHIN = 1.0
BETWEEN_SILENCES = 0.5
"""Seconds for which a token that did not arrive is not asked for again, so that the parts do not wait one by one."""
TOKEN_LASTS = 21600
WITHOUT_LASTS = 300.0
"""Seconds for which it is asked without a token, before one is asked for again."""
RENEW_BEFORE = 60.0
"""Seconds before a token is too old."""
NOT_GRANTED = (
    "the instance metadata service grants no token in time: in a container, the instance's metadata hop limit has to "
    "be 2 (`aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2`), or use the host's network"
)

WITHOUT = (
    ", without a session token (IMDSv1), since none arrives: set the instance's metadata hop limit to 2 before "
    "somebody requires tokens"
)

_Parse = Callable[[Answer, Look], tuple[Notice, ...]]


class Aws:
    name: SourceName = "aws"

    def __init__(self, url: str, eyes: Eyes) -> None:
        self._url = url
        self._eyes = eyes
        self._token: tuple[str, float] | None = None
        """With when it has to be renewed."""
        self._failed: tuple[Failed, float] | None = None
        """Why there is none, and until when nobody asks again."""
        self._asking = asyncio.Lock()

    async def watch(self, tell: Tell) -> None:
        parts = [
            self._make_part("spot", 2.0, "spot/instance-action", parse_spot),
            self._make_part("rebalance", 5.0, "events/recommendations/rebalance", parse_rebalance),
            self._make_part("lifecycle", 5.0, "autoscaling/target-lifecycle-state", parse_lifecycle),
            self._make_part("maintenance", 60.0, "events/maintenance/scheduled", parse_maintenance),
        ]
        works = "spot interruptions, rebalance advice, autoscaling and planned maintenance of this instance"
        kind = Kind(self.name, lambda: works + (WITHOUT if self._is_without else ""))
        await watch_parts(kind, parts, tell, self._eyes.haste)

    @property
    def _is_without(self) -> bool:
        return self._token is not None and not self._token[0]

    def _make_part(self, name: str, every: float, path: str, parse: _Parse) -> Part:
        async def look() -> tuple[Notice, ...]:
            answer = await self._get(path)
            return parse(answer, self._eyes.look(answer))

        return Part(name, every, look)

    async def _get(self, path: str) -> Answer:
        token = await self._find_token(None)
        answer = await self._get_with(token, path)
        if answer.status == 401:
            answer = await self._get_with(await self._find_token(refused=token), path)
        if answer.status == 401:
            raise Failed("the instance metadata service takes no token, not even a new one (401)")
        return answer

    async def _get_with(self, token: str, path: str) -> Answer:
        headers = {"X-aws-ec2-metadata-token": token} if token else {}
        return await fetch(Request("GET", f"{self._url}/latest/meta-data/{path}", headers), WITHIN)

    async def _find_token(self, refused: str | None) -> str:
        """Several parts may find a token refused at the same time: it is renewed once."""
        async with self._asking:
            now = self._eyes.clock()
            if self._failed is not None and now < self._failed[1]:
                raise self._failed[0]
            if self._token is None or self._token[0] == refused or now >= self._token[1]:
                token = await self._ask_token()
                self._token = (token, now + (TOKEN_LASTS - RENEW_BEFORE if token else WITHOUT_LASTS))
                self._failed = None
            return self._token[0]

    async def _ask_token(self) -> str:
        """Empty where none arrives, and none is needed."""
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LASTS)}
        try:
            answer = await fetch(Request("PUT", f"{self._url}/latest/api/token", headers), WITHIN)
        except Silent:
            if await self._answers_without():
                return ""
            failed = Failed(NOT_GRANTED)
            self._failed = (failed, self._eyes.clock() + BETWEEN_SILENCES)
            raise failed from None
        token = expect_ok(answer).strip()
        if not token or not token.isprintable() or " " in token:
            raise Failed("what answers grants no token that could be one: it is no instance metadata service")
        return token

    async def _answers_without(self) -> bool:
        try:
            return (await self._get_with("", "instance-life-cycle")).status == 200
        except Failed:
            return False
