"""The table of phase × trigger is total, and says the truth about where each cell leads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, product
from typing import NamedTuple

import pytest

from perdured.core.decide import decide
from perdured.core.decision import Decision
from perdured.core.notice_plan import Answer
from perdured.core.observation import AttemptSeen, Observation
from perdured.core.parking import NOTICE, find_notice_trigger
from perdured.core.queue.turn import GO, Turn
from perdured.core.record import RESTING, UNDER_WAY, JobRecord, Parked, Phase, Saving, Starting, Waiting, Wish
from perdured.core.table import TABLE, draw_states
from perdured.core.triggers import Trigger, find_trigger
from support.jobs import EVERY_SIGHT, NOT_YET, NOW, OUTRANKED, PHASES, make_record, make_spec, observed
from support.notices import answered, make_notice

SPEC = make_spec()
WISHES: tuple[Wish, ...] = ("run", "stop", "park", "restart", "remove")
TURNS: dict[bool, tuple[Turn, ...]] = {True: (GO, OUTRANKED), False: (GO, NOT_YET)}
"""By whether an attempt is under way."""
VARIANTS: dict[str, tuple[Phase, ...]] = {
    "starting": (Starting(attempt=1), Starting(attempt=1, launches=3)),
    "parked": (Parked(), Parked(stepped_aside=True), Parked(by_notice=True)),
    "saving": (PHASES["saving"], Saving(attempt=1, why=NOTICE, asked_at=NOW)),
    "waiting": (Waiting(until=NOW + 8), Waiting(until=NOW), Waiting(until=NOW, probes=True)),
}


def _all_records() -> Iterator[JobRecord]:
    for kind, wish, failures, progress in product(PHASES, WISHES, (0, 4), (None, 100)):
        for phase in VARIANTS.get(kind, (PHASES[kind],)):
            yield make_record(phase, wish=wish, failures=failures, progress=progress)


class Case(NamedTuple):
    record: JobRecord
    seen: AttemptSeen
    saved: int | None
    """Step of the newest checkpoint: none, the one that was known, or a newer one."""
    turn: Turn = GO
    answer: Answer | None = None
    fence: str | None = None

    @property
    def observation(self) -> Observation:
        seen = observed(self.seen, saved=self.saved)
        return seen.model_copy(update={"answer": self.answer, "fence": self.fence, "turn": self.turn})

    @property
    def trigger(self) -> Trigger:
        return find_trigger(self.record, self.seen, self.turn, find_notice_trigger(self.record, self.observation, NOW))

    def decide(self) -> Decision:
        return decide(SPEC, self.record, self.observation, NOW)


ANSWERS = tuple(answered(make_notice(left)) for left in (1.0, 30.0, 120.0, 3600.0))


@pytest.fixture(scope="module")
def decided() -> list[tuple[Case, Decision]]:
    """What is decided in every phase, with every wish, at every sight, with and without progress, budget and a turn."""
    given = product(_all_records(), EVERY_SIGHT.values(), (None, 100, 200))
    cases = [Case(*each, turn) for each in given for turn in TURNS[each[0].phase.kind in UNDER_WAY]]
    answers = (None, *ANSWERS)
    noticed = [
        Case(*each) for each in product(_all_records(), EVERY_SIGHT.values(), (100,), (GO,), answers, ("fence",))
    ]
    return [(case, case.decide()) for case in chain(cases, noticed)]


Decided = list[tuple[Case, Decision]]


def test_every_phase_has_a_cell_for_every_trigger() -> None:
    assert set(TABLE) == set(PHASES)
    for phase, row in TABLE.items():
        assert set(row) == set(Trigger), phase


def test_every_cell_leads_where_it_says_and_only_there(decided: Decided) -> None:
    """Each edge of the table is taken by some case, and no other edge by any."""
    taken: defaultdict[tuple[str, Trigger], set[str]] = defaultdict(set)
    for case, decision in decided:
        phase, after = case.record.phase.kind, decision.record.phase.kind
        assert after == phase or after in TABLE[phase][case.trigger].leads_to, case
        taken[phase, case.trigger].add(after)
    for (start, trigger), ends in taken.items():
        assert set(TABLE[start][trigger].leads_to) <= ends, (start, trigger)


def test_every_trigger_is_found_in_some_case(decided: Decided) -> None:
    assert {case.trigger for case, _ in decided} == set(Trigger)


def test_where_no_attempt_is_under_way_what_is_seen_of_one_changes_nothing() -> None:
    for kind, wish in product(("queued", "waiting", *RESTING), WISHES):
        record = make_record(PHASES[kind], wish=wish)
        decisions = [Case(record, seen, None).decide() for seen in EVERY_SIGHT.values()]
        assert decisions.count(decisions[0]) == len(decisions)


def test_deciding_changes_neither_record_nor_observation() -> None:
    for kind, wish, seen in product(PHASES, WISHES, EVERY_SIGHT.values()):
        record, observation = make_record(PHASES[kind], wish=wish), observed(seen, saved=200)
        before = record.model_dump_json(), observation.model_dump_json()
        decide(SPEC, record, observation, NOW)
        assert (record.model_dump_json(), observation.model_dump_json()) == before


def test_deciding_again_on_the_same_sight_settles(decided: Decided) -> None:
    """Until an action changes what is to be seen, the record stops changing after a few rounds."""
    for case, decision in decided:
        assert _settles(case, decision, rounds=5), case


def _settles(case: Case, decision: Decision, rounds: int) -> bool:
    if decision.record == case.record or any(action.kind in ("launch", "forget") for action in decision.actions):
        return True
    again = case._replace(record=decision.record)
    return rounds > 0 and _settles(again, again.decide(), rounds - 1)


def test_what_changed_nothing_is_no_news(decided: Decided) -> None:
    """Else each look would tell it once more."""
    for case, decision in decided:
        assert not decision.events or decision.record != case.record


def test_every_change_of_phase_is_told_with_its_reason(decided: Decided) -> None:
    for case, decision in decided:
        before, after = case.record.phase.kind, decision.record.phase.kind
        if before != after and (before, after) != ("saving", "running"):
            assert [event.text for event in decision.events] == [decision.record.reason], case


def test_every_decision_can_be_stored(decided: Decided) -> None:
    for record in {decision.record.model_dump_json() for _, decision in decided}:
        assert JobRecord.model_validate_json(record).model_dump_json() == record


def test_nothing_waits_for_what_may_never_come(decided: Decided) -> None:
    """Where no keeper speaks and nobody acts, the decision says when to look again."""
    for case, decision in decided:
        is_decided_again = decision.record != case.record
        is_silent = case.seen.kind != "held" or case.seen.pid is None or case.record.phase.kind == "waiting"
        is_silent &= case.trigger != Trigger.NOT_YET or not case.record.awaits_turn  # the queue will tell
        if is_silent and not is_decided_again and not case.record.is_resting:
            assert decision.wake_at is not None, case
            assert NOW < decision.wake_at <= NOW + 300


def test_the_page_of_states_draws_every_edge_once() -> None:
    page = draw_states()
    edges = [line.strip() for line in page.splitlines() if "-->" in line]
    assert len(edges) == len(set(edges)) > 20
    assert "running --> saving" in edges
    assert "succeeded --> running" not in edges
