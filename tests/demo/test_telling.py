"""What the demo tells: progress as it is read, bars and lines as they are shown, the table and the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.cli.main import run_cli
from perdured.demo.compare import Final
from perdured.demo.display import Bar, PlainDisplay, describe_bar, format_line, format_sparkline
from perdured.demo.outcome import Outcome
from perdured.demo.play import describe_recovery
from perdured.demo.progress import Progress, Tail, parse_progress
from perdured.demo.script import SCRIPT, Moment
from perdured.demo.show import find_faults
from perdured.demo.table import HEADINGS, format_table, list_rows

OUTCOMES = [Outcome(each.title, 20 * i, i, 1.5 * i if i else None) for i, each in enumerate(SCRIPT)]
FINAL = Final(100, "aa")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_demo_has_help_as_every_verb_has(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["demo", option]) == 0
    assert "--keep" in capsys.readouterr().out


def test_progress_is_read_from_the_lines_of_the_training_script() -> None:
    assert parse_progress("step 20/316: loss 3.1849, 19,643 tokens/s") == Progress(20, 316, 3.1849)
    assert parse_progress("step 100/316: validation loss 2.8537") is None
    assert parse_progress("resumed at step 20") is None


def test_a_tail_gives_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    tail = Tail(path)
    assert tail.read_lines() == []
    path.write_text("one\ntwo\nthr")
    assert tail.read_lines() == ["one", "two"]
    assert tail.read_lines() == []
    path.write_text("one\ntwo\nthree\n")
    assert tail.read_lines() == ["three"]


def test_a_sparkline_falls_as_the_loss_does_and_is_never_wider_than_asked() -> None:
    assert format_sparkline([5.0, 4.0, 3.0, 2.0], 10) == "█▆▃▁"
    assert format_sparkline([float(-i) for i in range(800)], 8) == "█▇▆▅▄▃▂▁"
    assert format_sparkline([], 10) == ""
    assert format_sparkline([2.0, 2.0], 10) == "▁▁"


def test_a_bar_is_told_as_a_line_where_there_is_no_terminal() -> None:
    assert describe_bar(Bar("alone", 3, 10, [4.0, 3.456], "undisturbed")) == "alone: step 3/10, loss 3.46 (undisturbed)"
    assert describe_bar(Bar("alone", 0, 0, [], "running")) == "alone: starting (running)"


def test_lines_begin_with_the_time_and_what_kind_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert format_line(12.34, "preempted", "done") == "  12.3 s  ✗ preempted"
    PlainDisplay().say("trains on", "well")
    assert capsys.readouterr().out == "   0.0 s  ✓ trains on\n"


def test_a_recovery_is_told_in_a_sentence() -> None:
    now = Moment(state="running", attempt=2, pid=1, step=31, resumed_from=30)
    lost = [describe_recovery(Outcome("x", 40, steps, 2.0), now).rpartition(": ")[2] for steps in (0, 1, 10)]
    assert lost == ["no step lost", "1 step lost", "10 steps lost"]
    assert "noticed nothing" in describe_recovery(Outcome("x", 40, 0, None), now)
    assert describe_recovery(Outcome("x", 40, 0, 2.0, ("it began again at step 0",)), now) == "it began again at step 0"


def test_the_table_has_a_row_for_each_disturbance_and_says_what_never_stopped() -> None:
    lines = format_table(HEADINGS, list_rows(OUTCOMES))
    assert len(lines) == 2 + len(SCRIPT)
    assert lines[2].endswith("never stopped")
    assert lines[3].endswith("after 1.5 s")
    assert all(each.title in line for each, line in zip(SCRIPT, lines[2:], strict=True))
    assert max(map(len, lines)) <= 80


def test_a_fault_takes_the_place_of_the_seconds() -> None:
    (row,) = list_rows([Outcome("x", 1, 0, 2.0, ("it began again at step 0",))])
    assert row[-1] == "it began again at step 0"


def test_all_is_well_when_every_disturbance_was_survived_and_the_bits_are_the_same() -> None:
    assert find_faults(OUTCOMES, FINAL, FINAL) == []


def test_every_way_to_fail_is_told() -> None:
    assert find_faults(OUTCOMES, Final(100, "ab"), FINAL) == [
        "The final weights differ from those of the undisturbed run."
    ]
    assert find_faults(OUTCOMES, Final(99, "aa"), FINAL) == ["It ended at step 99, the undisturbed run at 100."]
    assert find_faults(OUTCOMES[:2], FINAL, FINAL) == ["The run was over after 2 of 4 disturbances."]
    assert find_faults([*OUTCOMES[:3], Outcome("x", 1, 0, 2.0, ("bad",))], FINAL, FINAL) == ["x: bad"]
