"""The properties of a preemption that hold whatever the moment, and the tests that defend them on one machine.

P1 (all ranks save the same step, or none commits) and what P8 says of a leader among machines are of jobs with ranks on
several machines, and have no test here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
PREEMPTED = "test_preempted_at_random_moments_it_ends_with_the_same_weights_and_loses_nothing_that_fitted"
AGAIN_AND_AGAIN = "test_parked_again_and_again_it_ends_with_the_bits_of_a_run_that_never_was"
PROPERTIES: dict[str, tuple[tuple[str, str], ...]] = {
    "P2 a committed checkpoint is complete and loads": (
        ("acceptance/test_preemptions.py", PREEMPTED),
        ("durability/test_kills.py", "*"),
    ),
    "P3 no step is made after the one it is to stop at": (
        ("training/test_parking.py", "test_it_saves_stands_still_without_using_the_processor_and_goes_on"),
    ),
    "P4 what was sure to fit is committed before the deadline": (
        ("acceptance/test_preemptions.py", PREEMPTED),
        ("core/test_spot_replay.py", "test_where_the_planner_was_sure_nothing_is_lost"),
        ("core/test_notice_plan.py", "test_what_is_sure_ends_before_the_deadline_and_what_is_late_was_sure"),
    ),
    "P5 with too little time the checkpoint before is untouched": (
        ("acceptance/test_preemptions.py", PREEMPTED),
        (
            "training/test_parking.py",
            "test_a_save_that_cannot_be_in_time_is_not_begun_and_it_stands_still_all_the_same",
        ),
    ),
    "P6 after a withdrawn notice it goes on with the same bits": (("training/test_parking.py", AGAIN_AND_AGAIN),),
    "P7 several notices are one save": (("acceptance/test_parking.py", "test_several_notices_are_one_save"),),
    "P8 whoever leads may be killed at any moment": (
        (
            "acceptance/test_killed_while_warned.py",
            "test_a_daemon_that_is_killed_at_any_moment_of_a_notice_costs_the_job_nothing",
        ),
        ("training/test_parking.py", "test_when_its_keeper_dies_it_goes_on_since_nobody_else_could_let_it"),
    ),
    "P9 nothing is started on a fenced machine": (
        ("acceptance/test_parking.py", "test_the_machine_is_taken_and_the_next_goes_on_where_it_stood"),
        (
            "state/test_foresight.py",
            "test_a_fence_holds_over_the_death_of_the_daemon_until_it_is_told_that_nothing_stands",
        ),
    ),
    "P10 to stand still, or to be frozen, is no hang": (
        (
            "acceptance/test_parking.py",
            "test_what_stood_still_for_longer_than_its_output_may_be_silent_is_no_hang_when_it_goes_on",
        ),
        ("acceptance/test_hangs.py", "test_a_pause_is_no_hang"),
        ("core/test_hang.py", "test_a_silence_that_nobody_watched_proves_nothing"),
    ),
    "P11 a second SIGTERM never shortens the save": (
        ("training/test_stopping.py", "test_further_sigterms_do_not_cut_the_save_short"),
        ("remote/test_with_a_daemon.py", "test_further_sigterms_do_not_cut_the_last_copy_short"),
    ),
    "P12 no data worker ever runs the handler": (
        ("training/test_workers.py", "test_workers_outlive_a_signal_to_the_whole_group"),
    ),
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_each_property_has_a_test(name: str) -> None:
    for path, wanted in PROPERTIES[name]:
        tree = ast.parse((TESTS / path).read_text())
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
        assert wanted in found or (wanted == "*" and found), f"{path} has no {wanted}"
