"""One performance: the script of disturbances is played upon the job until it is done."""

from __future__ import annotations

import time
from contextlib import suppress

from perdured.core.record import RESTING
from perdured.errors import NoDaemon, PerdureError

from . import wreck
from .actors import PrivateDaemon, UndisturbedRun
from .display import Bar, Display
from .outcome import Outcome, Wreck, has_recovered, measure_outcome
from .progress import Progress, Tail
from .script import SCRIPT, Disturbance, Moment, find_due
from .stage import Stage, clean_environment
from .watch import Watch

TICK = 0.1
LIMIT = 900.0
"""Seconds for the whole: many times what it takes, for a machine that is very busy."""
STEPS_ALONE = 8
"""Steps that the job makes before its dead daemon is started again."""


class Play:
    def __init__(self, stage: Stage, display: Display) -> None:
        self._stage = stage
        self._display = display
        self._deadline = time.monotonic() + LIMIT
        self._undisturbed = UndisturbedRun(stage)
        self._undisturbed_tail = Tail(self._undisturbed.output)
        self._undisturbed_progress: list[Progress] = []
        self._daemon = PrivateDaemon(stage)
        self._watch: Watch | None = None

    def perform(self) -> list[Outcome]:
        """The outcome of each disturbance, once both runs are done."""
        watch = self._watch = self._open()
        outcomes: list[Outcome] = []
        moment = self._look(watch)
        while moment.state != "succeeded":
            due = find_due(SCRIPT, len(outcomes), moment, watch.total)
            if due is not None:
                outcomes.append(self._disturb(watch, due, moment))
            moment = self._look(watch)
        while not self._undisturbed.is_done():
            self._look(watch)
        return outcomes

    def end(self) -> None:
        """Leaves nothing behind, wherever the play broke off: what still runs is stopped by the daemon's own hand."""
        self._undisturbed.end()
        try:
            if self._watch is not None and self._watch.job["state"] not in RESTING:
                self._stop_job(self._watch.job["id"])
        finally:
            self._daemon.end()

    def _open(self) -> Watch:
        self._display.say("A GPT learns from Python's own sources, twice at the same time:")
        self._display.say("alone, left in peace; and under Perdure, while everything breaks.")
        pid = self._daemon.start()
        job = self._daemon.client.submit(self._stage.spec, self._stage.root, clean_environment())
        self._display.say(f"perdured (pid {pid}) has accepted job {job['id']}")
        return Watch(self._daemon.client, self._stage, job, self._display)

    def _disturb(self, watch: Watch, due: Disturbance, before: Moment) -> Outcome:
        assert before.pid is not None
        self._display.say(f"{due.title} (pid {before.pid})" if due.kind != "daemon" else due.title, "done")
        since = time.monotonic()
        done = Wreck(due, before, self._perform_wreck(watch, due, before))
        now = self._look(watch)
        while not has_recovered(done, now):
            now = self._look(watch)
        outcome = measure_outcome(done, watch.find_ending(before.attempt), now, time.monotonic() - since)
        self._display.say(describe_recovery(outcome, now), "done" if outcome.faults else "well")
        return outcome

    def _perform_wreck(self, watch: Watch, due: Disturbance, before: Moment) -> int | None:
        """The step of the checkpoint that was corrupted, if one was."""
        assert before.pid is not None
        match due.kind:
            case "kill":
                wreck.kill(before.pid)
            case "preempt":
                wreck.preempt(before.pid)
            case "corrupt":
                return wreck.corrupt_newest_and_kill(before.pid, self._stage.disturbed)
            case "daemon":
                self._replace_daemon(watch, before)
        return None

    def _replace_daemon(self, watch: Watch, before: Moment) -> None:
        self._daemon.kill()
        moment = self._look(watch)
        while (moment.step or 0) < min((before.step or 0) + STEPS_ALONE, watch.total):
            moment = self._look(watch)
        pid = self._daemon.start()
        self._display.say(f"without a daemon, the job has reached step {moment.step}; a new one is up (pid {pid})")

    def _look(self, watch: Watch) -> Moment:
        """What is to be seen after a short while. Raises PerdureError where the play cannot go on."""
        time.sleep(TICK)
        if time.monotonic() > self._deadline:
            raise PerdureError("The demo has taken too long.", f"{LIMIT:.0f} s are over.", "Is this machine very busy?")
        self._undisturbed.is_done()
        self._undisturbed_progress += self._undisturbed_tail.read_progress()
        moment = watch.look()
        watch.check_alive()
        self._display.update([watch.draw(moment), draw_undisturbed(self._undisturbed_progress)])
        return moment

    def _stop_job(self, job: str) -> None:
        with suppress(NoDaemon):
            self._daemon.client.health()
            return self._wait_until_stopped(job)
        self._daemon.start()
        return self._wait_until_stopped(job)

    def _wait_until_stopped(self, job: str) -> None:
        client = self._daemon.client
        client.ask(job, "stop")
        deadline = time.monotonic() + 20.0
        while client.show(job)["state"] not in RESTING and time.monotonic() < deadline:
            time.sleep(TICK)


def draw_undisturbed(progress: list[Progress]) -> Bar:
    step, total = progress[-1][:2] if progress else (0, 0)
    return Bar("alone", step, total, [each.loss for each in progress], "undisturbed")


def describe_recovery(outcome: Outcome, now: Moment) -> str:
    if outcome.faults:
        return "; ".join(outcome.faults)
    if outcome.seconds is None:
        return f"the same process trains on, at step {now.step}: it has noticed nothing"
    lost = {0: "no step", 1: "1 step"}.get(outcome.steps_lost, f"{outcome.steps_lost} steps")
    return f"training goes on from step {now.resumed_from}, after {outcome.seconds:.1f} s: {lost} lost"
