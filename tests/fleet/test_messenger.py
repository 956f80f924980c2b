"""The messenger: a process that writes, then looks; and whoever asks it hears why it could not."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from perdured.fleet.messenger import Messenger
from perdured.fleet.notes import Answer, Ask, Failed, Told
from perdured.remote.chain import format_lease, format_posting

FIRST, SECOND = format_lease("job", 1), format_lease("job", 2)


def ask(url: str, *asks: Ask, patience: float = 30.0) -> list[Answer]:
    async def exchange() -> list[Answer]:
        messenger = Messenger(url, patience)
        try:
            return [await messenger.ask(each) for each in asks]
        finally:
            await messenger.close()

    return asyncio.run(exchange())


def test_what_is_there_is_not_created_again_and_the_answer_shows_what_was_written(tmp_path: Path) -> None:
    """Not so what it has created itself, in a request whose answer was lost."""
    asks = ({FIRST: "a", format_posting("job"): "{}"}, {FIRST: "b", SECOND: "c"}, {FIRST: "a"})
    answers = ask(f"file://{tmp_path}", *(Ask(create=texts) for texts in asks))
    told = [answer for answer in answers if isinstance(answer, Told)]
    assert [set(each.created) for each in told] == [{FIRST, format_posting("job")}, {SECOND}, {FIRST}]
    assert told[-1].texts == {FIRST: "a", SECOND: "c", format_posting("job"): "{}"}


def test_what_is_put_is_seen_at_once(tmp_path: Path) -> None:
    told = ask(f"file://{tmp_path}", Ask(create={FIRST: "a"}), Ask(put={FIRST: "b"}))[1]
    assert isinstance(told, Told)
    assert told.texts == {FIRST: "b"}


def test_a_store_that_cannot_be_used_is_said_in_three_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    failed = ask("s3://bucket/fleet", Ask())[0]
    assert isinstance(failed, Failed)
    assert "cannot be reached" in failed.what


def test_one_that_is_silent_is_given_up_and_the_next_question_goes_to_another(tmp_path: Path) -> None:
    async def exchange() -> tuple[Answer, Answer]:
        messenger = Messenger(f"file://{tmp_path}", 30.0)
        try:
            await messenger.ask(Ask(create={FIRST: "a"}))
            assert messenger._process is not None
            os.kill(messenger._process._process.pid, signal.SIGSTOP)
            messenger._patience = 0.3
            silent = await messenger.ask(Ask())
            messenger._patience = 30.0
            return silent, await messenger.ask(Ask())
        finally:
            await messenger.close()

    silent, after = asyncio.run(exchange())
    assert isinstance(silent, Failed)
    assert "did not answer" in silent.why
    assert isinstance(after, Told)
    assert after.texts == {FIRST: "a"}


def test_a_url_that_no_store_has_is_said() -> None:
    assert isinstance(ask("nonsense://", Ask())[0], Failed)
