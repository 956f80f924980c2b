"""One file is one notice; removing it withdraws the notice."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from perdured.notices.folder import Folder
from support.ears import Ear, listen, make_eyes


def play(folder: Path, scene: Callable[[Ear], Awaitable[None]], haste: float = 50.0) -> None:
    async def inside() -> None:
        async with listen(Folder(folder, make_eyes(haste))) as ear:
            await ear.wait_for_silence()
            await scene(ear)

    asyncio.run(inside())


def test_a_file_is_a_notice_until_it_is_removed(tmp_path: Path) -> None:
    """The kernel tells: the next look by the clock would be too late for this test."""
    folder = tmp_path / "notices"

    async def scene(ear: Ear) -> None:
        (tmp_path / "new").write_text("deadline = 60s\nwhy = the bid was lost")
        (tmp_path / "new").rename(folder / "bid")
        notice = await ear.wait_for_notice()
        assert (notice.why, notice.sureness) == ("the bid was lost", "exact")
        (folder / "bid").unlink()
        await ear.wait_for_silence()

    play(folder, scene, haste=0.01)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_file_written_anew_moves_its_deadline(tmp_path: Path) -> None:
    async def scene(ear: Ear) -> None:
        (tmp_path / "drain").write_text("deadline = 2026-01-01T00:00:00Z")
        first = await ear.wait_for_notice()
        (tmp_path / "drain").write_text("deadline = 2026-01-01T01:00:00Z")
        report = await ear.wait(lambda report: [notice.deadline for notice in report.notices] != [first.deadline])
        assert report.notices[0].id == first.id
        assert report.notices[0].deadline == (first.deadline or 0.0) + 3600

    play(tmp_path, scene)


def test_what_is_on_its_way_is_no_notice(tmp_path: Path) -> None:
    async def scene(ear: Ear) -> None:
        (tmp_path / "a.tmp").write_text("")
        (tmp_path / ".b").write_text("")
        (tmp_path / "folder").mkdir()
        (tmp_path / "c").write_text("")
        assert "file c " in (await ear.wait_for_notice()).why

    play(tmp_path, scene)


def test_a_file_that_is_half_written_is_looked_at_again_and_rubbish_counts_in_the_end(tmp_path: Path) -> None:
    file = tmp_path / "drain"

    async def scene(ear: Ear) -> None:
        with file.open("w") as half:
            half.write('{"deadline": ')
            half.flush()
            seen = len(ear.reports)
            report = await ear.wait(lambda _report: len(ear.reports) > seen + 2)
            assert report.notices == ()
            half.write('"60s"}')
        assert (await ear.wait_for_notice()).sureness == "exact"
        file.write_text('{"deadline": ')
        os.utime(file, (1e9, 1e9))
        await ear.wait(lambda report: [notice.sureness for notice in report.notices] == ["guess"])

    play(tmp_path, scene)


def test_a_folder_that_was_taken_away_is_made_again_and_its_notices_are_withdrawn(tmp_path: Path) -> None:
    folder = tmp_path / "notices"

    async def scene(ear: Ear) -> None:
        (folder / "a").write_text("")
        await ear.wait_for_notice()
        shutil.rmtree(folder)
        await ear.wait_for_silence()
        (folder / "b").write_text("")
        await ear.wait_for_notice()

    play(folder, scene)


def test_a_place_that_is_no_folder_is_blind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def inside() -> None:
        async with listen(Folder(tmp_path / "file" / "notices", make_eyes())) as ear:
            assert "cannot be read" in await ear.wait_for_state("blind")

    asyncio.run(inside())
