"""Asks a program a question and reads its answer, in one exchange with an end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from perdured.tasks import finish_within


class NoReply(Exception):
    """The program is not there, failed, or took too long."""


async def ask_program(command: Sequence[str], env: Mapping[str, str], within: float) -> str:
    """What it prints. Raises NoReply."""
    pipe = asyncio.subprocess.PIPE
    try:
        asked = await asyncio.create_subprocess_exec(*command, env=dict(env), stdout=pipe, stderr=pipe)
    except OSError as error:
        raise NoReply(f"{command[0]} cannot be run: {error.strerror}") from None
    try:
        said, complaint = await finish_within(asked.communicate(), within)
    except asyncio.TimeoutError:
        raise NoReply(f"{command[0]} does not answer within {within:g} s") from None
    finally:
        if asked.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                asked.kill()
            await asked.wait()
    if asked.returncode != 0:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["no word why"]
        raise NoReply(f"{command[0]} ended with {asked.returncode}: {last[0]}")
    return said.decode(errors="replace")
