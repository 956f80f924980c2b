"""The deputies of a machine, one for each user who has a job or has asked for something.

Each is kept: when it ends, whatever ended it, it is started again, sooner at first and then less often. Who asks while
it is not there waits for it, or is told why it does not come up. Its end harms no job: those have keepers.

No user can hold up another: whoever's deputy is slow, stopped or silent waits alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from perdured.core.account import Account
from perdured.errors import PerdureError
from perdured.processes import DeputyOrder, DeputyProcess, start_deputy, wait_readable
from perdured.tasks import finish_within

from . import words
from .accounts import find_account
from .homes import list_homes, make_home
from .shares import Tell

LOG = "deputy.log"
READY_CEILING = 60.0
"""Seconds for a deputy to take up all its jobs, while as many others do the same after a boot."""
END_CEILING = 10.0
LONGEST_PARTING = 3600.0
"""Seconds for which a machine that goes down waits for the jobs of a user to save."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 60.0
STEADY = 60.0
"""Seconds after which a deputy counts as one that works."""
BREATH = 0.02
"""Seconds between two words of one deputy that are listened to: a flood of them waits in its own socket."""

Hear = Callable[[int, Mapping[str, Any] | None, Tell | None], None]
"""A user's deputy says a word, and how it is answered; it is up when that is "ready", and gone when it is none."""

_log = logging.getLogger("perdured")


class NotServed(PerdureError):
    """The deputy of a user does not answer."""


class Deputies:
    def __init__(self, homes: Path, settings: Mapping[str, object], hear: Hear) -> None:
        """`settings`: the first word to each."""
        self._homes = homes
        self._settings = settings
        self._hear = hear
        self._posts: dict[int, _Post] = {}
        self._asking = ThreadPoolExecutor(2, "accounts")
        """For what may hang, so that no job of root's has to wait for it: a directory service."""

    async def begin(self) -> None:
        """Starts those whose users have had jobs: some may have to go on."""
        for uid in list(list_homes(self._homes)):
            try:
                await self._open_post(uid)
            except PerdureError as error:
                _log.warning("the jobs of user %d have nobody to tend them: %s", uid, error.what)

    async def hand_over(self, uid: int, connection: socket.socket) -> None:
        """Raises PerdureError with what the client is to be told."""
        post = await self._open_post(uid)
        post.hand_over(await post.wait_until_ready(), connection)

    async def end(self, why: str | None) -> None:
        """All of them. With `why` their jobs save first, else they run on."""
        self._asking.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(*(post.end(why) for post in self._posts.values()))

    async def _open_post(self, uid: int) -> _Post:
        if uid not in self._posts:
            account = await asyncio.get_running_loop().run_in_executor(self._asking, find_account, uid)
            if uid not in self._posts:
                self._posts[uid] = _Post(account, self._homes, self._settings, self._hear)
        return self._posts[uid]


class _Post:
    """What is to be kept for one user: a deputy, and a new one when it has ended."""

    def __init__(self, account: Account, homes: Path, settings: Mapping[str, object], hear: Hear) -> None:
        self._hear_word = hear
        self._account = account
        self._homes = homes
        self._settings = settings
        self._process: DeputyProcess | None = None
        self._is_ready = False
        self._trouble: str | None = None
        """Why the last one did not come up."""
        self._changed = asyncio.Event()
        self._is_ending = False
        self._keeping = asyncio.create_task(self._keep(), name=f"deputy of {account.name}")

    async def wait_until_ready(self) -> DeputyProcess:
        """Raises NotServed."""
        while not self._is_ready:
            if self._trouble is not None:
                raise self._not_served(self._trouble)
            await self._changed.wait()
        assert self._process is not None
        return self._process

    def hand_over(self, deputy: DeputyProcess, connection: socket.socket) -> None:
        if not words.say(deputy.channel, words.CONNECTED, descriptor=connection.fileno()):
            raise self._not_served("It does not take what it is handed.")

    async def end(self, why: str | None) -> None:
        self._is_ending = True
        if self._process is None or not self._is_ready:
            self._keeping.cancel()
        else:
            words.say(self._process.channel, words.END, {"park": why})
        await asyncio.wait({self._keeping}, timeout=LONGEST_PARTING if why is not None else END_CEILING)
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while not self._is_ending:
            since = loop.time()
            try:
                self._trouble = await self._have_one()
            except (OSError, PerdureError) as error:
                self._trouble = str(error)
            if self._trouble is not None:
                _log.warning("the deputy of %s: %s", self._account.name, self._trouble)
            self._change(is_ready=False)
            if not self._is_ending:
                pause = FIRST_PAUSE if loop.time() - since >= STEADY else min(pause * 2, LONGEST_PAUSE)
                await asyncio.sleep(pause)

    async def _have_one(self) -> str | None:
        """From its start to its end; why it was of no use, if it was not."""
        home = await asyncio.to_thread(make_home, self._homes, self._account)
        argv = ("-I", "-m", "perdured", "--deputy", "--state-dir", str(home))
        self._process = process = start_deputy(DeputyOrder(self._account, home, LOG, argv), os.environ)
        try:
            words.say(process.channel, words.BEGIN, self._settings)
            told = await self._wait_for_word(process)
            if told is None or told["type"] != words.READY:
                return _explain(told, home)
            self._trouble = None
            self._change(is_ready=True)
            await self._listen(process)
            return None
        finally:
            self._hear_word(self._account.uid, None, None)
            self._is_ready = False
            await self._see_out(process)

    async def _wait_for_word(self, process: DeputyProcess) -> Mapping[str, object] | None:
        try:
            return await finish_within(self._hear(process), READY_CEILING)
        except asyncio.TimeoutError:
            return {"type": words.FAILED, "why": f"It did not come up within {READY_CEILING:g} s."}

    async def _listen(self, process: DeputyProcess) -> None:
        tell = partial(self._tell, process)
        self._hear_word(self._account.uid, {"type": words.READY}, tell)
        while (message := await self._hear(process)) is not None:
            try:
                self._hear_word(self._account.uid, message, tell)
            except Exception as error:  # noqa: BLE001 - whatever a stranger says, it ends nothing but that deputy
                _log.warning("the deputy of %s makes no sense: %s", self._account.name, type(error).__name__)
                return
            await asyncio.sleep(BREATH)

    def _tell(self, process: DeputyProcess, word: str, more: Mapping[str, object]) -> None:
        """One that does not read what it is granted is of no use: it ends, and the next one begins anew."""
        if not words.say(process.channel, word, more):
            with contextlib.suppress(OSError):
                process.channel.shutdown(socket.SHUT_RDWR)

    async def _hear(self, process: DeputyProcess) -> Mapping[str, object] | None:
        """None at its end, and at nonsense: then it is ended."""
        while True:
            await wait_readable(process.channel.fileno())
            with contextlib.suppress(BlockingIOError):
                try:
                    return words.hear(process.channel)
                except ValueError:
                    return None

    async def _see_out(self, process: DeputyProcess) -> None:
        process.channel.close()
        try:
            if not await process.wait(END_CEILING):
                process.kill()
                await process.wait()
        finally:
            process.close()
            self._process = None

    def _change(self, *, is_ready: bool) -> None:
        """Wakes all who wait, and lets those who come later wait for the next change."""
        self._is_ready = is_ready
        self._changed.set()
        self._changed = asyncio.Event()

    def _not_served(self, why: str) -> NotServed:
        what = f"The deputy of {self._account.name}, who does what you ask of perdured, does not answer."
        return NotServed(what, why, "Your jobs run on. Root can see more in the log of perdured.")


def _explain(told: Mapping[str, object] | None, home: Path) -> str:
    if told is None:
        return f"It ended before it was ready; {home / LOG} may say why."
    return "".join(letter if letter.isprintable() else "?" for letter in str(told.get("why"))[:500])
