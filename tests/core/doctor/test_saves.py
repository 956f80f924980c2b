"""Does the largest save fit into the warning?"""

from __future__ import annotations

import pytest

from perdured.core.doctor.saves import SaveSeen, find_largest, judge_save, reckon_save
from perdured.core.doctor.sources import SourceSeen, blind, find_shortest, judge_sources, make_clouds
from perdured.core.notices.status import SourceStatus, State

AWS = SourceSeen("aws", "works", 120.0)
AZURE = SourceSeen("azure", "works", 30.0)


@pytest.mark.parametrize(("seconds", "level"), [(10.0, "ok"), (25.0, "warning"), (31.0, "problem")])
def test_a_save_is_held_against_the_shortest_warning(seconds: float, level: str) -> None:
    found = judge_save(SaveSeen("gpt", 1 << 30, seconds, is_measured=True), [AWS, AZURE])
    assert found.level == level
    assert "azure gives 30 s" in found.what


def test_only_sources_that_are_heard_count() -> None:
    deaf = SourceSeen("azure", "blind", 30.0, "why", "todo")
    assert find_shortest([AWS, deaf, SourceSeen("signal", "works")]) == AWS
    assert judge_save(SaveSeen("gpt", None, 31.0), [AWS, deaf]).level == "ok"


def test_where_nobody_says_how_much_warning_there_is_nothing_is_held_against_it() -> None:
    assert judge_save(SaveSeen("gpt", None, 1e6), [SourceSeen("signal", "works")]).level == "ok"


def test_what_was_not_measured_is_said_to_be_unknown() -> None:
    assert judge_save(SaveSeen("gpt"), [AWS]).level == "warning"
    assert judge_save(None, [AWS]).level == "ok"


def test_the_largest_is_the_one_that_takes_longest_else_has_most_bytes() -> None:
    slow, large = SaveSeen("slow", 10, 9.0), SaveSeen("large", 10**9, 8.0)
    assert find_largest([large, slow]) == slow
    assert find_largest([SaveSeen("a", 1), SaveSeen("b", 2)]) == SaveSeen("b", 2)
    assert find_largest([]) is None


def test_what_a_job_did_not_measure_is_reckoned_from_its_size_and_the_speed_of_the_disk() -> None:
    save = reckon_save("gpt", 1000, 100.0)
    assert (save.seconds, save.is_measured) == (10.0, False)


def test_a_blind_source_is_a_problem_and_absent_ones_take_one_line() -> None:
    absent = [SourceSeen(name, "absent") for name in ("gcp", "azure")]
    found = judge_sources([AWS, SourceSeen("slurm", "blind", None, "why", "todo"), *absent])
    assert [(each.check, each.level) for each in found] == [("aws", "ok"), ("slurm", "problem"), ("not here", "ok")]
    assert found[-1].what == "gcp, azure."


@pytest.mark.parametrize(
    ("state", "status"), [("works", "works"), ("blind", "blind"), ("starting", "blind"), ("not_here", "absent")]
)
def test_a_cloud_is_as_whoever_listens_to_it_says(state: State, status: str) -> None:
    aws, *others = make_clouds({"aws": SourceStatus("aws", state, "no token")})
    assert (aws.name, aws.status) == ("aws", status)
    assert {other.status for other in others} == {"absent"}


def test_a_source_that_would_give_time_and_is_not_heard_gives_none() -> None:
    heard = SourceStatus("slurm", "blind", "the controller does not answer")
    seen = blind(SourceSeen("slurm", "works", 30.0), heard)
    assert (seen.status, seen.why) == ("blind", "The controller does not answer.")
    assert find_shortest([seen]) is None
    assert blind(SourceSeen("slurm", "absent"), heard).status == "absent"
