"""Does the largest save fit into the warning?"""

from __future__ import annotations

import pytest

from perdured.core.doctor.saves import SaveSeen, find_largest, judge_save, reckon_save
from perdured.core.doctor.sources import SourceSeen, find_cloud, find_shortest, judge_sources

AWS = SourceSeen("aws", "works", 120.0)
AZURE = SourceSeen("azure", "works", 30.0)


@pytest.mark.parametrize(("seconds", "level"), [(10.0, "ok"), (25.0, "warning"), (31.0, "problem")])
def test_a_save_is_held_against_the_shortest_warning(seconds: float, level: str) -> None:
    found = judge_save(SaveSeen("gpt", 1 << 30, seconds, is_measured=True), [AWS, AZURE])
    assert found.level == level
    assert "azure gives 30 s" in found.what


def test_only_sources_that_are_heard_count() -> None:
    blind = SourceSeen("azure", "blind", 30.0, "why", "todo")
    assert find_shortest([AWS, blind, SourceSeen("signal", "works")]) == AWS
    assert judge_save(SaveSeen("gpt", None, 31.0), [AWS, blind]).level == "ok"


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
    ("vendor", "product", "cloud"),
    [
        ("Amazon EC2\n", "g5.xlarge\n", "aws"),
        ("Google", "Google Compute Engine", "gcp"),
        ("Microsoft Corporation", "Virtual Machine", "azure"),
        ("Microsoft Corporation", "Surface Laptop", None),
        ("QEMU", "Standard PC", None),
        ("", "", None),
    ],
)
def test_whose_machine_it_is_stands_in_its_firmware(vendor: str, product: str, cloud: str | None) -> None:
    assert find_cloud(vendor, product) == cloud
