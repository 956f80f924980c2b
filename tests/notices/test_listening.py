"""All sources together: what they tell reaches whoever acts, and a fault in one deafens no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from perdured.clock import start_clock
from perdured.core.notices.notice import Notice
from perdured.errors import BadUsage, PerdureError, WrongState
from perdured.notices.eyes import Tell
from perdured.notices.finding import Surroundings
from perdured.notices.folder import Folder
from perdured.notices.listening import Listening
from perdured.notices.settings import NoticeSettings
from perdured.tasks import end_tasks
from perdured.testing.metadata import FakeMetadata


class Audience:
    def __init__(self) -> None:
        self.standing: Sequence[Notice] | None = None
        self._changed = asyncio.Event()

    def take_notices(self, standing: Sequence[Notice]) -> None:
        self.standing = standing
        self._changed.set()

    def is_safe(self) -> bool:
        return False

    async def wait_for(self, *kinds: str) -> None:
        async def wait() -> None:
            while self.standing is None or sorted(notice.kind for notice in self.standing) != sorted(kinds):
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), 20)


Scene = Callable[[Listening, Audience], Awaitable[None]]


def play(root: Path, settings: NoticeSettings, scene: Scene, env: dict[str, str] | None = None) -> None:
    async def inside() -> None:
        listening, audience = Listening(settings, Surroundings(env or {}, {}), root, start_clock()), Audience()
        running = asyncio.create_task(listening.run(audience))
        try:
            await scene(listening, audience)
        finally:
            await end_tasks([running])

    asyncio.run(inside())


def test_what_stands_is_told_once_at_the_start_and_at_each_change(tmp_path: Path) -> None:
    async def scene(listening: Listening, audience: Audience) -> None:
        await audience.wait_for()
        listening.hear("SIGUSR1")
        await audience.wait_for("terminate")
        (tmp_path / "notices" / "bid").write_text("kind = reclaim")
        await audience.wait_for("terminate", "reclaim")

    play(tmp_path, NoticeSettings(), scene)


def test_a_signal_in_a_job_of_slurm_is_a_guess_only_where_the_controller_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no scontrol here

    async def scene(listening: Listening, audience: Audience) -> None:
        listening.hear("SIGUSR1")
        await audience.wait_for("terminate")

    play(tmp_path, NoticeSettings(), scene, {"SLURM_JOB_ID": "17", "PATH": str(tmp_path)})


def test_a_fault_in_one_source_is_shown_and_deafens_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_self: Folder, _tell: Tell) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Folder, "watch", fail)

    async def scene(listening: Listening, audience: Audience) -> None:
        await audience.wait_for()
        await asyncio.sleep(0)
        listening.hear("SIGUSR1")
        await audience.wait_for("terminate")
        (folder,) = [source for source in listening.describe().sources if source.source == "folder"]
        assert (folder.state, folder.why) == ("blind", "RuntimeError: a fault of ours")

    play(tmp_path, NoticeSettings(), scene)


def test_only_an_event_of_azure_that_stands_can_be_approved(tmp_path: Path, fake: FakeMetadata) -> None:
    fake.change({"azure": {"events": [{"id": "e1", "type": "Reboot", "in": 900}]}})

    async def scene(listening: Listening, audience: Audience) -> None:
        await audience.wait_for("reboot")
        listening.hear("SIGUSR1")
        await audience.wait_for("terminate", "reboot")
        await listening.approve("azure-e1")
        assert fake.approved == ["e1"]
        with pytest.raises(BadUsage):
            await listening.approve("azure-e2")
        assert audience.standing is not None
        (signal,) = [notice for notice in audience.standing if notice.source == "signal"]
        with pytest.raises(WrongState):
            await listening.approve(signal.id)
        fake.change({"manners": {"status": 500}})
        with pytest.raises(PerdureError, match="did not take"):
            await listening.approve("azure-e1")

    play(tmp_path, NoticeSettings(cloud="azure", azure_url=fake.url), scene)


@pytest.mark.parametrize(("env", "is_pod"), [({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, True), ({}, False)])
def test_what_stops_a_pod_is_a_notice_and_what_stops_a_daemon_elsewhere_is_none(
    tmp_path: Path, env: dict[str, str], is_pod: bool
) -> None:
    async def scene(listening: Listening, _audience: Audience) -> None:
        assert listening.ends_by("SIGTERM") is is_pod

    play(tmp_path, NoticeSettings(), scene, env)
