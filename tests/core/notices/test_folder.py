from __future__ import annotations

import json

import pytest

from perdured.core.notices.answer import Failed, Look
from perdured.core.notices.folder import GUESS, File, is_notice_file, make_unread, parse_file
from perdured.core.notices.notice import Notice

LOOK = Look(at=1000.0, boot_id="boot-1")


def read(text: str, name: str = "drain", written_at: float = 990.0) -> Notice:
    return parse_file(File(name, text, written_at), LOOK)


def test_an_empty_file_is_a_notice_with_a_guessed_time() -> None:
    notice = read("")
    assert (notice.kind, notice.source, notice.deadline, notice.sureness) == ("drain", "folder", 990.0 + GUESS, "guess")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"deadline": "2m", "why": "the bid was lost", "kind": "reclaim", "disk": "lost"}),
        'deadline = 2m\nwhy = "the bid was lost"\n# a comment\n\nkind=reclaim\ndisk = lost\n',
    ],
    ids=["json", "lines"],
)
def test_json_and_lines_say_the_same(text: str) -> None:
    notice = read(text)
    assert (notice.deadline, notice.sureness, notice.why) == (1110.0, "exact", "the bid was lost")
    assert (notice.kind, notice.disk) == ("reclaim", "lost")


def test_a_time_counts_as_it_stands_and_a_duration_from_when_the_file_was_written() -> None:
    assert read("deadline = 2017-09-18T08:22:00Z").deadline == 1505722920.0
    assert read("deadline = +30s", written_at=500.0).deadline == 530.0


def test_advice_needs_no_deadline() -> None:
    notice = read("follows = perhaps\nkind = rebalance")
    assert (notice.deadline, notice.follows) == (None, "perhaps")


def test_the_file_is_the_notice_and_a_rewritten_one_is_the_same() -> None:
    assert read("deadline = 30s").id == read("deadline = 60s").id
    assert read("", name="other").id != read("").id


@pytest.mark.parametrize(
    "text", ["no pair", "{", "[1]", "deadline = soon", "colour = red", "kind = end", '{"deadline": 30}', "\ufffd\ufffd"]
)
def test_a_file_that_cannot_be_read_is_a_notice_all_the_same(text: str) -> None:
    with pytest.raises(Failed) as raised:
        read(text)
    notice = make_unread(File("drain", text, 990.0), LOOK, raised.value.why)
    assert (notice.deadline, notice.id) == (990.0 + GUESS, read("").id)
    assert "cannot be read" in notice.why


@pytest.mark.parametrize(
    ("name", "is_one"), [("a", True), ("a.json", True), (".a", False), ("a.tmp", False), ("a~", False)]
)
def test_files_on_their_way_are_none(name: str, is_one: bool) -> None:
    assert is_notice_file(name) is is_one
