"""The verbs on jobs that have no process: what a start of the daemon takes up, what parking, stopping, removing mean.

A workdir that is not there keeps every launch from starting anything.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from perdured.clock import start_clock
from perdured.core.observation import Absent
from perdured.core.record import JobRecord, Wish
from perdured.errors import AmbiguousJob, BadUsage, NoSuchJob, WrongState
from perdured.keeper import records
from perdured.keeper.lock import take_lock
from perdured.state.beside import load_beside
from perdured.state.paths import StateDir
from perdured.state.rebuild import rebuild_registry
from perdured.state.registry import Registry
from perdured.state.submission import Submission
from perdured.supervise import effects, ground
from perdured.supervise import loop as loop_module
from perdured.supervise import service as service_module
from perdured.supervise.service import Service
from support.disk_jobs import make_job, make_submission, save_run, save_submission, save_want
from support.jobs import PHASES, make_record
from support.stores import commit, holding

CEILING = 20.0


class Home:
    """A state directory, for one daemon after the other."""

    def __init__(self, root: Path) -> None:
        self.state = StateDir(root / "state")
        self.state.jobs.mkdir(parents=True)
        self.nowhere = root / "nowhere"
        self.registry = Registry(self.state.registry)

    def put(self, phase: str, id: str = "job", *, wish: Wish = "run", name: str | None = None) -> None:
        submission = make_submission(self.nowhere / id)
        record = make_record(PHASES[phase], id=id, wish=wish, name=name or id)
        save_submission(self.state, id, submission)
        self.registry.save_submission(submission, record, [], 0.0)

    def records(self) -> dict[str, JobRecord]:
        return {record.id: record for _, record in self.registry.load_jobs()}

    def serve(self, talk: Callable[[Service], Awaitable[None]], *, resume_parked: bool = True) -> None:
        asyncio.run(self._serve(talk, resume_parked))

    async def _serve(self, talk: Callable[[Service], Awaitable[None]], resume_parked: bool) -> None:
        service = Service(self.state, self.registry, start_clock())
        await service.start(resume_parked=resume_parked)
        try:
            await asyncio.wait_for(talk(service), CEILING)
        finally:
            await service.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.registry.close()


def until(condition: Callable[[Service], bool]) -> Callable[[Service], Awaitable[None]]:
    async def talk(service: Service) -> None:
        for _ in range(1000):
            if condition(service):
                return
            await asyncio.sleep(0.01)
        pytest.fail("waited in vain")

    return talk


async def nothing(service: Service) -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def is_tried(service: Service) -> bool:
    """It was started, and refused for want of its workdir."""
    return service.show("job").state == "waiting"


def test_what_was_parked_goes_on_when_the_daemon_starts(home: Home) -> None:
    home.put("parked")
    home.serve(until(is_tried))
    assert home.records()["job"].attempts[-1].number == 2


def test_what_was_parked_stays_where_only_one_job_is_run(home: Home) -> None:
    home.put("parked")
    home.serve(nothing, resume_parked=False)
    assert home.records()["job"].phase.kind == "parked"


def test_what_was_to_be_parked_when_the_machine_went_down_is_not_parked_when_it_is_back(home: Home) -> None:
    """Nobody would ask for it any more, and it would lie there until the next start of the daemon."""
    home.put("waiting", wish="park")
    home.serve(until(lambda service: service.show("job").reason.startswith("waiting")))
    assert home.records()["job"].phase.kind == "waiting"
    assert home.records()["job"].wish == "run"


@pytest.mark.parametrize("phase", ["stopped", "succeeded", "failed"])
def test_what_rests_rests_on(home: Home, phase: str) -> None:
    home.put(phase)
    home.serve(nothing)
    assert home.records()["job"] == make_record(PHASES[phase], id="job", name="job")


@pytest.mark.parametrize("phase", ["parked", "stopped", "failed", "waiting"])
def test_a_removal_that_was_cut_short_is_finished_by_the_next_daemon(home: Home, phase: str) -> None:
    home.put(phase, wish="remove")
    home.put("stopped", "other")
    home.serve(until(lambda service: len(service.list_jobs(everything=True)) == 1))
    assert set(home.records()) == {"other"}
    assert not home.state.job("job").exists()


def test_a_removed_job_is_gone_from_the_disk_before_it_is_gone_from_the_registry(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two the daemon may die; a registry that is made anew must not find the job again."""
    home.put("stopped")
    there: list[bool] = []
    forget = home.registry.forget

    def watch(job: str) -> None:
        there.append(home.state.job(job).exists())
        forget(job)

    monkeypatch.setattr(home.registry, "forget", watch)

    async def remove(service: Service) -> None:
        await service.ask("job", "remove")
        await until(lambda service: not service.list_jobs(everything=True))(service)

    home.serve(remove)
    assert there == [False]
    assert home.records() == {}


def test_a_parked_job_can_be_stopped_and_then_stays(home: Home) -> None:
    home.put("parked")

    async def stop(service: Service) -> None:
        await service.ask("job", "stop")
        await until(lambda service: service.show("job").state == "stopped")(service)

    home.serve(stop, resume_parked=False)
    home.serve(nothing)
    assert home.records()["job"].phase.kind == "stopped"


@pytest.mark.parametrize("phase", ["stopped", "succeeded", "failed"])
@pytest.mark.parametrize("wish", ["stop", "park"])
def test_asking_a_job_at_rest_to_end_changes_nothing(home: Home, phase: str, wish: Wish) -> None:
    home.put(phase)

    async def ask(service: Service) -> None:
        assert wish in ("stop", "park")
        view = await service.ask("job", wish)
        assert view.state == phase

    home.serve(ask)
    assert home.records()["job"] == make_record(PHASES[phase], id="job", name="job")


def test_a_wish_is_durable_when_it_is_answered(home: Home) -> None:
    """Whatever dies the moment after."""
    home.put("failed")

    async def ask(service: Service) -> None:
        await service.ask("job", "restart")
        assert home.records()["job"].wish == "restart"

    home.serve(ask)


def test_the_daemon_ends_at_once_also_when_a_job_is_woken_at_that_moment(home: Home) -> None:
    """A cancellation that comes together with what was waited for must not be lost."""
    home.put("stopped")

    async def ask(service: Service) -> None:
        await nothing(service)
        await service.ask("job", "restart")

    for _ in range(5):
        home.serve(ask)
        assert home.records()["job"].phase.kind in ("stopped", "queued", "starting", "waiting")


def _put_two_on_one_directory(home: Home, phase: str, other: str = "failed") -> None:
    for id, in_phase in (("one", phase), ("two", other)):
        submission = make_submission(home.nowhere)
        record = make_record(PHASES[in_phase], id=id, name=id)
        save_submission(home.state, id, submission)
        home.registry.save_submission(submission, record, [], 0.0)


def test_of_two_jobs_on_one_directory_only_one_can_be_resumed(home: Home) -> None:
    """Also before the first has been started: what counts is that it will."""
    _put_two_on_one_directory(home, "failed")

    async def resume_both(service: Service) -> None:
        await service.ask("one", "resume")
        with pytest.raises(WrongState, match="Job one"):
            await service.ask("two", "resume")

    home.serve(resume_both)


def test_a_parked_job_keeps_its_directory(home: Home, tmp_path: Path) -> None:
    """It goes on by itself with the next daemon."""
    _put_two_on_one_directory(home, "parked")

    async def resume(service: Service) -> None:
        with pytest.raises(WrongState, match="Job one"):
            await service.submit(make_submission(home.nowhere))

    home.serve(resume, resume_parked=False)


def test_a_job_at_rest_stays_at_rest_when_the_registry_is_lost(home: Home) -> None:
    """Above all one that was stopped while it waited, of which no attempt tells."""
    home.put("waiting", "stopped")
    home.put("failed", "failed")

    async def stop(service: Service) -> None:
        await service.ask("stopped", "stop")
        await until(lambda service: service.show("stopped").state == "stopped")(service)

    home.serve(stop)
    found = {each.name: rebuilt for each in home.state.jobs.iterdir() if (rebuilt := load_beside(each).rest)}
    assert {id: record.phase.kind for id, record in found.items()} == {"stopped": "stopped", "failed": "failed"}
    elsewhere = Registry(home.state.root / "again.sqlite")
    assert rebuild_registry(elsewhere, home.state, 0.0) == 2
    assert {record.id: record for _, record in elsewhere.load_jobs()} == home.records()
    elsewhere.close()


def test_a_job_that_runs_again_is_not_remembered_as_at_rest(home: Home) -> None:
    home.put("failed")

    async def resume(service: Service) -> None:
        await service.ask("job", "resume")
        await until(lambda service: service.show("job").state != "failed")(service)
        assert load_beside(home.state.job("job")).rest is None

    home.serve(resume)


def test_a_submit_that_failed_half_way_leaves_no_job(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the registry and not beside it, where a lost registry would find it."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def submit(service: Service) -> None:
        monkeypatch.setattr("perdured.supervise.service.save_beside", fail)
        with pytest.raises(OSError, match="No space"):
            await service.submit(make_submission(tmp_path))
        assert service.list_jobs(everything=True) == []

    home.serve(submit)
    assert home.records() == {}
    assert list(home.state.jobs.glob("*/submission.json")) == []


def test_an_accepted_job_whose_files_were_not_written_yet_gets_them_at_the_next_start(home: Home) -> None:
    home.put("failed")
    home.state.submission("job").unlink()

    async def look(service: Service) -> None:
        assert load_beside(home.state.job("job")).submission == make_submission(home.nowhere / "job")

    home.serve(look)


def test_a_directory_that_another_process_writes_to_is_refused_at_submit(home: Home, tmp_path: Path) -> None:
    """Of whatever daemon it is, or of none: its job would fall, be started again, and fall."""
    root = tmp_path / "work" / "checkpoints"
    root.mkdir(parents=True)

    async def submit(service: Service) -> None:
        with holding(root) as pid, pytest.raises(WrongState, match=f"Process {pid} already writes its checkpoints to "):
            await service.submit(make_submission(tmp_path / "work"))

    home.serve(submit)
    assert home.records() == {}


def test_a_refusal_keeps_the_letters_of_its_units(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 4096))

    async def submit(service: Service) -> None:
        with pytest.raises(BadUsage, match=r"Only 4\.0 KiB are free .* 16 MiB are needed"):
            await service.submit(make_submission(tmp_path))

    home.serve(submit)


def test_one_step_is_told_safe_once(home: Home, tmp_path: Path) -> None:
    """A run saves at its last step, and once more at its end."""
    job = make_job(tmp_path, record=make_record(id="job"))
    home.put("stopped")

    async def look_three_times(service: Service) -> None:
        for step in (80, 80, 90):
            commit(job.submission.checkpoint_dir, step)
            job.is_newest_stale = True
            await service._loop._refresh_checkpoints(job, Absent())
        told = [stored.event.text for stored in service.events(0, "job") if stored.event.kind == "checkpoint"]
        assert told == ["step 80 is safe", "step 90 is safe"]

    home.serve(look_three_times)


def test_a_job_is_found_by_id_by_name_and_by_a_prefix_that_fits_only_one(home: Home) -> None:
    home.put("stopped", "abcd")
    home.put("stopped", "abxy")

    async def find(service: Service) -> None:
        assert service.show("abcd").id == "abcd"
        assert service.show("abx").id == "abxy"
        with pytest.raises(NoSuchJob, match=r"Did you mean abcd\?"):
            service.show("abce")
        with pytest.raises(NoSuchJob):
            service.show("")

    home.serve(find)


def test_a_name_means_the_one_of_its_jobs_that_is_not_at_rest(home: Home) -> None:
    home.put("waiting", "first", name="dup")
    home.put("stopped", "second", name="dup")

    async def find(service: Service) -> None:
        assert service.show("dup").id == "first"

    home.serve(find)


def test_a_name_of_several_jobs_that_are_not_at_rest_is_refused_with_their_ids(home: Home) -> None:
    """A guess would stop, or remove, the wrong one."""
    for id in ("first", "second"):
        home.put("waiting", id, name="dup")
    home.put("stopped", "third", name="dup")

    async def find(service: Service) -> None:
        with pytest.raises(AmbiguousJob, match=r"first \(dup, \w+\), second \(dup, \w+\)\.") as refused:
            await service.ask("dup", "remove")
        assert refused.value.exit_status == 2
        assert "third" not in str(refused.value)

    home.serve(find)


def test_of_several_jobs_at_rest_a_name_means_the_newest(home: Home) -> None:
    for id in ("first", "second"):
        home.put("stopped", id, name="dup")

    async def find(service: Service) -> None:
        assert service.show("dup").id == "second"

    home.serve(find)


def test_a_job_that_succeeded_is_not_resumed_but_can_be_run_once_more(home: Home) -> None:
    home.put("succeeded")

    async def ask(service: Service) -> None:
        with pytest.raises(WrongState, match="perdure restart job"):
            await service.ask("job", "resume")
        await service.ask("job", "restart")
        await until(is_tried)(service)

    home.serve(ask)


def test_a_disk_that_hangs_holds_up_only_the_job_that_lies_on_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """`service.submit` and `service.checkpoints` once asked it in the event loop, where everybody waits."""
    healed = threading.Event()
    survey = ground.survey_ground

    def survey_or_hang(submission: Submission) -> ground.Survey:
        if "sick" in submission.workdir:
            healed.wait(CEILING)
        return survey(submission)

    monkeypatch.setattr(service_module, "survey_ground", survey_or_hang)
    for name in ("sick", "well"):
        (home.nowhere / name).mkdir(parents=True)

    async def talk(service: Service) -> None:
        hung = asyncio.ensure_future(service.submit(make_submission(home.nowhere / "sick")))
        well = await service.submit(make_submission(home.nowhere / "well"))
        assert not hung.done()
        assert [job.id for job in service.list_jobs(everything=True)] == [well.id]
        assert await service.checkpoints(well.id) == []
        healed.set()
        assert (await hung).id != well.id

    home.serve(talk)


def test_the_same_submission_again_is_the_same_job(home: Home) -> None:
    """What the spool claims under an id, and submits again after a kill."""
    text = 'command = ["true"]\n'
    home.nowhere.mkdir()

    async def talk(service: Service) -> None:
        for _ in range(2):
            assert (await service.submit_text(text, workdir=home.nowhere, env={}, id="abcdefgh")).id == "abcdefgh"
        assert len(service.list_jobs(everything=True)) == 1

    home.serve(talk)
    home.serve(talk)


def test_a_start_waits_for_file_descriptors_and_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their lack is no failure of the job, and costs it no attempt."""
    left = iter([False, False])
    monkeypatch.setattr(effects, "has_descriptors", lambda: next(left, True))
    monkeypatch.setattr(effects, "LOOK_AGAIN", 0.01)
    home.put("queued")

    def is_told(service: Service) -> bool:
        texts = [stored.event.text for stored in service.events(0, "job")]
        return any("does not exist" in text for text in texts) and any("no file descriptors" in text for text in texts)

    before = len(make_record(PHASES["queued"]).attempts)
    home.serve(until(is_told))
    assert len(home.records()["job"].attempts) == before + 1


def test_a_keeper_that_is_silent_is_asked_once_in_a_step(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question waits for its ceiling, and the step goes round twice."""
    asked: list[Path] = []

    async def connect(directory: Path, *_: object) -> NoReturn:
        asked.append(directory)
        raise OSError(f"the keeper in {directory} does not answer")

    monkeypatch.setattr(loop_module, "connect_keeper", connect)
    monkeypatch.setattr(loop_module, "RECHECK", CEILING)
    home.put("starting")
    directory = save_want(home.state, "job", 1)
    save_run(directory)
    held = take_lock(directory / records.LOCK)
    assert held is not None
    try:
        home.serve(until(lambda service: service.show("job").state == "running"))
    finally:
        os.close(held)
    assert len(asked) == 1


def test_what_rests_is_seen_to_after_what_lives_and_at_once_where_somebody_asks(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be ten thousand finished jobs; a start does not wait for them."""
    monkeypatch.setattr(loop_module, "BETWEEN_PAST", 0.2)
    for name in ("a", "b", "c"):
        home.put("succeeded", name)
    home.put("queued", "live")

    async def talk(service: Service) -> None:
        assert {"live"} <= set(service._loop._tasks) <= {"live", "c"}
        assert [job.id for job in service.list_jobs(everything=True)] == ["a", "b", "c", "live"]
        await service.ask("a", "restart")
        assert "a" in service._loop._tasks
        await until(lambda service: set(service._loop._tasks) == {"a", "b", "c", "live"})(service)
        await until(lambda service: not service._loop.jobs["c"].is_newest_stale)(service)

    home.serve(talk)
