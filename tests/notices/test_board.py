"""What was told is durable before anybody acts on it, and outlives the daemon that heard it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from perdured.core.notices.flapping import SETTLES_AFTER
from perdured.core.notices.notice import STALE, Notice
from perdured.core.notices.status import SourceStatus
from perdured.notices.board import Board, load_notices
from perdured.notices.eyes import Eyes, Report

WORKS = SourceStatus("aws", "works", "everything")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make_notice(id: str = "aws-1", deadline: float | None = 1120.0, **more: object) -> Notice:
    given = {
        "id": id, "kind": "reclaim", "source": "aws", "why": "AWS takes it back", "deadline": deadline,
        "sureness": "exact", "follows": "power_off", "received_at": 1000.0, "boot_id": "boot-1",
    }  # fmt: skip
    return Notice.model_validate(given | more)


class Room:
    """A board in its event loop, and all that it has handed on."""

    def __init__(self, path: Path, boot_id: str = "boot-1") -> None:
        self.path = path
        self.clock = Clock()
        self.board = Board(path, Eyes(self.clock, boot_id))
        self.told: list[tuple[str, ...]] = []
        self.recorded: list[tuple[str, ...]] = []
        """What was durable each time."""

    def listen(self, standing: tuple[Notice, ...]) -> None:
        self.told.append(tuple(notice.id for notice in standing))
        self.recorded.append(tuple(notice.id for notice in load_notices(self.path)))

    def play(self, *reports: Report) -> Room:
        async def inside() -> None:
            self.board.begin((), self.listen)
            for report in reports:
                self.board.tell(report)
            self.board.close()

        asyncio.run(inside())
        return self


def see(*notices: Notice) -> Report:
    return Report(WORKS, notices, is_whole=True)


def test_it_is_durable_before_it_is_handed_on(tmp_path: Path) -> None:
    room = Room(tmp_path / "n.json").play(see(make_notice()))
    assert room.told == [(), ("aws-1",)]
    assert room.recorded == room.told


def test_the_same_again_is_told_to_nobody(tmp_path: Path) -> None:
    room = Room(tmp_path / "n.json").play(see(make_notice()), see(make_notice()), see(make_notice()))
    assert room.told == [(), ("aws-1",)]


def test_a_withdrawal_is_handed_on_and_kept_in_the_record(tmp_path: Path) -> None:
    room = Room(tmp_path / "n.json").play(see(make_notice()), see())
    assert room.told == [(), ("aws-1",), ()]
    (kept,) = load_notices(room.path)
    assert kept.withdrawn_at == 1000.0


def test_another_daemon_begins_with_what_was_recorded(tmp_path: Path) -> None:
    """Also while the source has not been asked yet, or is blind."""
    Room(tmp_path / "n.json").play(see(make_notice()))
    blind = Report(SourceStatus("aws", "blind", "503"))
    assert Room(tmp_path / "n.json").play(blind).told == [("aws-1",)]


def test_what_was_recorded_before_the_machine_came_back_stands_no_more(tmp_path: Path) -> None:
    Room(tmp_path / "n.json").play(see(make_notice()))
    assert Room(tmp_path / "n.json", boot_id="boot-2").play().told == [()]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"notices": [{"id": 1}]}', "\x00"])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "n.json").write_text(text)
    assert Room(tmp_path / "n.json").play(see(make_notice())).told == [(), ("aws-1",)]


def test_a_disk_that_takes_no_record_delays_nothing(tmp_path: Path) -> None:
    room = Room(tmp_path / "gone" / "n.json").play(see(make_notice()))
    assert room.told == [(), ("aws-1",)]


def test_a_deadline_that_passed_without_an_end_is_handed_on_by_itself(tmp_path: Path) -> None:
    room = Room(tmp_path / "n.json")

    async def inside() -> None:
        room.board.begin((), room.listen)
        room.board.tell(see(make_notice(deadline=1000.0 - STALE + 0.05)))
        assert room.told[-1] == ("aws-1",)
        room.clock.now += 0.1
        while room.told[-1]:  # noqa: ASYNC110 - it is the passing of time that is waited for
            await asyncio.sleep(0.01)
        room.board.close()

    asyncio.run(asyncio.wait_for(inside(), 20))


def test_it_describes_sources_and_notices(tmp_path: Path) -> None:
    room = Room(tmp_path / "n.json").play(see(make_notice("aws-2", None, follows="perhaps")), see(make_notice()))
    view = json.loads(room.board.describe().model_dump_json())
    assert view["outlook"] == "AWS takes it back: 2 min left"
    assert view["deadline"] == "1970-01-01T00:18:40.000Z"
    assert view["sources"] == [{"source": "aws", "state": "works", "why": "everything"}]
    assert [(notice["id"], notice["stands"]) for notice in view["notices"]] == [("aws-2", False), ("aws-1", True)]


def test_a_source_that_has_taken_back_much_is_believed_when_it_stays_with_it(tmp_path: Path) -> None:
    """Three changes of its mind are handed on, the fifth notice only after a while."""
    room = Room(tmp_path / "n.json")
    later = make_notice(deadline=5000.0)

    async def inside() -> None:
        room.board.begin((), room.listen)
        for _ in range(4):
            room.board.tell(see(later))
            room.board.tell(see())
        told = len(room.told)
        room.board.tell(see(later))
        assert len(room.told) == told, "it is recorded, and not acted on"
        assert load_notices(room.path)[0].withdrawn_at is None
        room.clock.now += SETTLES_AFTER
        room.board.tell(see(later))
        room.board.tell(see(later.model_copy(update={"why": "it says so again"})))
        assert room.told[-1] == ("aws-1",)
        room.board.close()

    asyncio.run(inside())
