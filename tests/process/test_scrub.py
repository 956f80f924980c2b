"""A process that verifies a checkpoint: what it says, that it can be held still, and that its death says nothing."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from perdured.processes import ScrubProcess, ScrubVerdict, start_scrub
from support.processes import run, wait_until
from support.stores import commit


async def _verify(path: Path) -> ScrubVerdict:
    return await (await start_scrub(path)).wait()


def _state_of(process: ScrubProcess) -> str:
    return Path(f"/proc/{process._process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_a_whole_checkpoint_is_valid_and_a_flipped_bit_is_named(tmp_path: Path) -> None:
    whole, broken = commit(tmp_path / "root", 10).path, commit(tmp_path / "root", 20).path
    victim = next(path for path in sorted(broken.iterdir()) if path.name not in ("COMMIT", "MANIFEST.json"))
    content = bytearray(victim.read_bytes())
    content[0] ^= 1
    victim.write_bytes(content)
    assert run(_verify(whole)).is_valid
    verdict = run(_verify(broken))
    assert (verdict.is_valid, verdict.is_unknown) == (False, False)
    assert victim.name in verdict.why


def test_it_stands_still_while_it_is_paused_and_goes_on_after(tmp_path: Path) -> None:
    path = commit(tmp_path / "root", 10).path

    async def pause_and_go_on() -> ScrubVerdict:
        process = await start_scrub(path)
        process.pause(is_paused=True)
        await asyncio.to_thread(wait_until, lambda: _state_of(process) == "T", "it stands still")
        process.pause(is_paused=False)
        return await process.wait()

    assert run(pause_and_go_on()).is_valid


def test_one_that_is_killed_says_nothing_of_the_checkpoint(tmp_path: Path) -> None:
    path = commit(tmp_path / "root", 10).path

    async def kill() -> ScrubVerdict:
        process = await start_scrub(path)
        process._process.kill()
        return await process.wait()

    verdict = run(kill())
    assert (verdict.is_valid, verdict.is_unknown) == (False, True)


def test_one_that_reads_nothing_any_more_is_left_behind_and_says_nothing_of_the_checkpoint(tmp_path: Path) -> None:
    """As in a disk that hangs: a process that was stopped by somebody else stands for it."""
    path = commit(tmp_path / "root", 10).path

    async def hang() -> tuple[ScrubVerdict, bool]:
        process = await start_scrub(path)
        process._process.send_signal(signal.SIGSTOP)
        verdict = await process.wait(silence=0.2)
        left = process._left
        assert left is not None
        await left  # this one's disk answers
        return verdict, process.is_left

    verdict, is_left = run(hang())
    assert (verdict.is_valid, verdict.is_unknown, is_left) == (False, True, False)
    assert "has given nothing" in verdict.why


def test_the_time_for_which_it_was_paused_is_no_silence(tmp_path: Path) -> None:
    path = commit(tmp_path / "root", 10).path

    async def pause() -> tuple[list[bool], ScrubVerdict]:
        process = await start_scrub(path)
        process.pause(is_paused=True)
        await asyncio.to_thread(wait_until, lambda: _state_of(process) == "T", "it stands still")
        seen = [process._is_silent() for _ in range(3)]
        process.pause(is_paused=False)
        seen.append(process._is_silent())
        return seen, await process.wait()

    seen, verdict = run(pause())
    assert seen == [False] * 4
    assert verdict.is_valid
