"""The messenger from the daemon's side: one question at a time. Where it fails or is silent, the next question goes to
another one."""

from __future__ import annotations

import asyncio
import os

from perdured.processes import Carrier, start_messenger
from perdured.tasks import finish_within

from .notes import ANSWER, Answer, Ask, Failed

_MORE = "Nothing has to be done: it is asked again."


class Messenger:
    def __init__(self, url: str, patience: float) -> None:
        """`patience`: seconds for one answer."""
        self._url = url
        self._patience = patience
        self._process: Carrier | None = None

    async def ask(self, ask: Ask) -> Answer:
        """Failed where nobody knows what of it was done. Cancelled, it leaves no process."""
        is_heard = False
        try:
            answer = await finish_within(self._exchange(ask), self._patience)
            is_heard = True
        except asyncio.TimeoutError:
            answer = _say_failed(f"It did not answer within {self._patience:g} s.")
        except (OSError, ValueError) as error:
            answer = _say_failed(f"{error}.")
        finally:
            said = "" if is_heard else await self.close()
        return answer if is_heard or not said else _say_failed(said)

    async def close(self) -> str:
        """Its last words."""
        process, self._process = self._process, None
        return await process.end() if process is not None else ""

    async def _exchange(self, ask: Ask) -> Answer:
        if self._process is None:
            self._process = await start_messenger(self._url.encode(), os.environ)
        self._process.say(ask.model_dump_json().encode())
        line = await self._process.read_line()
        if not line:
            raise ConnectionResetError("It ended without a word")
        return ANSWER.validate_json(line)


def _say_failed(why: str) -> Failed:
    return Failed(what="The messenger to the bucket failed.", why=why, todo=_MORE)
