"""The whole daemon against a simple model: whatever users ask, whatever dies and whenever, what was answered is kept,
no attempt runs twice or beside another, and once it is calm every job is where it should be.

Hypothesis draws the story. A test may tell one as well: `begin`, then any of the rules, then `teardown`.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from sqlite3 import OperationalError

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from perdured.cli.text import parse_time
from perdured.clock import format_time
from perdured.core.ledger import PARTS
from perdured.core.record import RESTING
from perdured.errors import NoSuchJob, WrongState
from perdured.supervise.service import Ask
from perdured.views import JobView
from support.fake_machine import CPUS, temporary_machine
from support.jobs import make_spec
from support.world import Script, World

CALM = 20_000.0
"""Seconds in which every backoff, grace and probe is over."""
NO_STANDBY = "[standby]\nenabled = false\n"
_specs = st.sampled_from([f"{NO_STANDBY}[resources]\ncpus = {cpus}\n" for cpus in (0, 1, 1, 2, CPUS)])
_priorities = st.sampled_from([0, 0, 0, 1, 2])
_scripts = st.builds(
    Script,
    ends_after=st.none() | st.integers(1, 3),
    code=st.sampled_from([1, 1, 3, 75, 78]),
    saves_every=st.sampled_from([1, 2, 4]),
    on_stop=st.sampled_from(["saves", "saves", "exits", "dies", "ignores"]),
    leaves_children=st.booleans(),
    dies_with=st.sampled_from([None, None, 2]),
)


@dataclass
class Model:
    """What a user knows of a job: what was answered."""

    wish: str = "run"
    """The last that was granted."""
    may_be: tuple[str, ...] = ()
    """What was asked for and not answered, since the daemon died: done or not."""


class WholeDaemon(RuleBasedStateMachine):
    jobs: Bundle[str] = Bundle("jobs")

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        self.machine = self.stack.enter_context(temporary_machine())
        self.models: dict[str, Model] = {}
        self.count = 0
        self.machine.start_daemon()

    # What users do ------------------------------------------------------------------------------------------------

    @rule(target=jobs, spec=_specs, priority=_priorities, scripts=st.lists(_scripts, max_size=4))
    def submit(self, spec: str, priority: int, scripts: list[Script]) -> str:
        return self.put(f"priority = {priority}\n{spec}", scripts)

    @rule(target=jobs, spec=_specs, scripts=st.lists(_scripts, max_size=2), other=jobs)
    def submit_after(self, spec: str, scripts: list[Script], other: str) -> str:
        return self.put(f'after = ["{other}"]\n{spec}', scripts)

    def put(self, text: str, scripts: list[Script]) -> str:
        """Its id, also where it was not accepted: then it must never be seen."""
        self._be_there()
        self.count += 1
        id = f"job{self.count:05d}"
        try:
            answer = self.machine.submit(id, make_spec(text), scripts)
        except (NoSuchJob, WrongState, OperationalError, OSError):
            self.models[id] = Model("remove")
        else:
            self.models[id] = Model() if answer is not None else Model(may_be=("run", "gone"))
        return id

    @rule(job=jobs, wish=st.sampled_from(["stop", "resume", "restart", "park"]))
    def ask(self, job: str, wish: Ask) -> None:
        self.wish(job, wish)

    @rule(job=jobs)
    def remove(self, job: str) -> None:
        self.wish(job, "remove")

    def wish(self, job: str, wish: Ask) -> None:
        self._be_there()
        model = self.models[job]
        try:
            answer = self.machine.do(self.machine.service.ask(job, wish))
        except NoSuchJob:
            assert model.wish == "remove" or {"gone", "remove"} & set(model.may_be)
            return
        except (WrongState, OperationalError):
            return
        wish_after = {"resume": "run", "restart": "run"}.get(wish, wish)
        if answer is not None and wish == "park" and answer.state in RESTING:
            return  # what rests has nothing to save
        if answer is not None:
            model.wish, model.may_be = wish_after, ()
        else:
            model.may_be = (*model.may_be, wish_after)

    # What befalls them ----------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 5.0, 12.0, 40.0, 400.0]))
    def pass_time(self, seconds: float) -> None:
        self.machine.pass_time(seconds)

    @rule(job=jobs, what=st.sampled_from([World.kill_leader, World.kill_keeper, World.kill_keeper_at_the_end]))
    def kill(self, job: str, what: object) -> None:
        assert callable(what)
        what(self.machine.worlds[job])
        self.machine.settle()

    @rule()
    def shut_down_keepers(self) -> None:
        for world in self.machine.worlds.values():
            world.terminate_keeper()
        self.machine.settle()

    @precondition(lambda self: not self.machine.is_dead)
    @rule(effects=st.integers(0, 12))
    def kill_daemon(self, effects: int) -> None:
        """Now, or after so many more effects."""
        if effects == 0:
            self.machine.kill_daemon()
        else:
            self.machine.kill_in = effects

    @rule()
    def restart_machine(self) -> None:
        if not self.machine.is_dead:
            self.machine.kill_daemon()
        for world in self.machine.worlds.values():
            world.reboot()

    @precondition(lambda self: self.machine.is_dead)
    @rule()
    def start_daemon(self) -> None:
        self._be_there()

    @rule(is_full=st.booleans())
    def fill_disk(self, is_full: bool) -> None:
        self.machine.is_full = is_full

    @rule(is_full=st.booleans())
    def fill_registry(self, is_full: bool) -> None:
        self.machine.is_registry_full = is_full

    @rule(is_blind=st.booleans())
    def blind(self, is_blind: bool) -> None:
        self.machine.is_blind = is_blind

    def _be_there(self) -> None:
        """A daemon that lives to do what comes next, unless it is killed in it."""
        while self.machine.is_dead:
            self.machine.start_daemon()
            for model in self.models.values():
                if model.wish == "park":
                    model.wish = "run"  # there is a daemon again: what was parked goes on

    # What must be so ------------------------------------------------------------------------------------------------

    @invariant()
    def check(self) -> None:
        if self.machine.is_dead:
            return
        shown = {view.id: view for view in self.machine.service.list_jobs(everything=True)}
        for job, model in self.models.items():
            if model.wish != "remove" and not model.may_be:
                assert job in shown, f"{job} was accepted, and is lost"
        for view in shown.values():
            check_ledger(view, self.machine.now)
            numbers = [attempt.number for attempt in view.attempts]
            assert numbers == list(range(1, len(numbers) + 1))

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        try:
            self.machine.heal()
            self._be_there()
            self.machine.pass_time(CALM)
            self.check()
            self._check_rest()
        finally:
            self.stack.close()

    def _check_rest(self) -> None:
        shown = {view.id: view for view in self.machine.service.list_jobs(everything=True)}
        for job, model in self.models.items():
            world, view = self.machine.worlds[job], shown.get(job)
            living = world.list_living()
            assert not living, f"{job} rests as {view and view.state}, and {living} lives"
            if view is None:
                assert model.wish == "remove" or {"remove", "gone"} & set(model.may_be)
                continue
            if view.state == "queued" and self._is_held_back(job):
                continue
            assert view.state in ("succeeded", "failed", "stopped", "parked"), view.reason
            if not model.may_be:
                assert model.wish != "remove", f"{job} was to be forgotten, or never accepted"
                assert view.state != "stopped" or model.wish == "stop", f"{job}: nobody asked it to stop"
                assert view.state != "parked" or model.wish == "park"
            if view.state == "succeeded":
                assert world.has_finished, "an exit that nobody saw, or that was asked for, is no success"

    def _is_held_back(self, job: str) -> bool:
        """By another that never succeeded."""
        machine = self.machine
        return any(not machine.worlds[other].has_finished for other in machine.worlds[job].spec.after)


def check_ledger(view: JobView, now: float) -> None:
    """Every second belongs to one part."""
    is_over = view.state in ("succeeded", "failed", "stopped")
    until = view.ended_at if is_over and view.ended_at is not None else format_time(now)
    assert view.ledger.whole == pytest.approx(parse_time(until or "") - parse_time(view.submitted_at), abs=0.01)
    assert sum(getattr(view.ledger, part) for part in PARTS) == pytest.approx(view.ledger.whole, abs=0.01)
    assert all(getattr(view.ledger, part) >= 0 for part in PARTS)
