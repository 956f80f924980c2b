"""`perdure show` as it looks."""

from __future__ import annotations

from typing import Any, cast

import click
import pytest

from perdured.cli.job_page import describe_end, format_page, suggest
from perdured.cli.text import parse_time
from perdured.contract.pacing import Pace
from perdured.queue_view import QueueView, ResourcesView
from perdured.views import JobView, KeeperView, RemoteTroubleView, RemoteView, describe_pace
from perdured.wire import Attempt, Job
from support.fake_service import make_attempt, make_job, make_ledger

TO_MEMORY = "to memory every 12 s, to the disk every 3 min 20 s"
NOW = parse_time("2026-11-24T10:08:30Z")


def page(view: JobView, *tail: str, width: int | None = 100) -> str:
    job = cast(Job, view.model_dump(mode="json", by_alias=True))
    return click.unstyle("\n".join(format_page(job, tail, "gpt", NOW, width)))


def test_the_page_of_a_job_that_was_restarted(in_berlin: None) -> None:
    killed = make_attempt(ended_at="2026-11-24T10:03:09.000Z", signal=9, cause="signal", why="killed by signal 9")
    goes_on = make_attempt(2, started_at="2026-11-24T10:03:10.000Z", resumed_from_step=1100)
    job = make_job(attempts=[killed, goes_on], reason="attempt 2 is running", log="/state/output.log")
    assert page(job, "step 1199", " 10%|█  |\r 20%|██ |") == (
        "● gpt  running\n"
        "  why         attempt 2 is running\n"
        "  id          k7mq2xwp\n"
        "  step        1200 of 4000  ██████░░░░░░░░░░░░░░ 30%   loss 2.313\n"
        "  checkpoint  step 1100, 3m ago: /runs/gpt/checkpoints/step-000000001100-000011\n"
        "  goodput     97% of the time was useful training\n"
        "  submitted   2026-11-24 11:00:00 +0100 (8m ago)\n"
        "  workdir     /runs/gpt\n"
        "  log         /state/output.log\n"
        "\n"
        "  TIME      SPENT      SHARE\n"
        "  useful    8 min 5 s  97.0 %\n"
        "  starting  5 s        1.0 %\n"
        "  loading   10 s       2.0 %\n"
        "\n"
        "  ATTEMPT  STARTED         RAN         PID   FROM STEP  CAUSE   ENDED\n"
        "  1        11-24 11:00:01  3 min 8 s   -     -          signal  killed by signal 9 (SIGKILL)\n"
        "  2        11-24 11:03:10  5 min 20 s  1002  1100       -       runs\n"
        "\n"
        "  │ step 1199\n"
        "  │ 20%|██ |\n"
        "\n"
        "  perdure logs -f gpt  follows its output over restarts\n"
        "  perdure stop gpt     saves and ends it"
    )


def test_the_keeper_is_named_as_systemd_knows_it() -> None:
    unit = KeeperView(pid=4711, unit="perdure-keeper-k7mq2xwp-1.service")
    assert "  keeper      perdure-keeper-k7mq2xwp-1.service (process 4711)\n" in page(make_job(keeper=unit))
    assert "  keeper      process 4711\n" in page(make_job(keeper=KeeperView(pid=4711, unit=None)))


def test_a_long_reason_is_broken_between_words_and_stands_in_its_column() -> None:
    lines = page(make_job(reason="none of its checkpoints can be resumed from; bring one back"), width=50).splitlines()
    assert lines[1] == "  why         none of its checkpoints can be"
    assert lines[2] == "              resumed from; bring one back"


def test_how_an_attempt_ended_stays_on_its_line_whatever_its_length() -> None:
    why = "cannot start: " + "word " * 40
    attempt = make_attempt(ended_at="2026-11-24T10:03:09.000Z", cause="not_started", why=why, exit_code=None)
    [line] = [each for each in page(make_job(attempts=[attempt]), width=90).splitlines() if "cannot start" in each]
    assert len(line) <= 90
    assert "word word word" in page(make_job(attempts=[attempt]), width=None)


def test_a_job_without_a_valid_checkpoint_is_not_said_to_go_on_from_one() -> None:
    text = page(make_job(state="failed", checkpoint=None))
    assert "perdure resume gpt  starts it again" in text


def test_a_job_that_has_done_nothing_yet_has_a_page_too() -> None:
    job = make_job(state="queued", reason="submitted", step=None, loss=None, attempts=[], checkpoint=None, goodput=None)
    text = page(job)
    assert "none yet in /runs/gpt/checkpoints" in text
    assert "ATTEMPT" not in text
    assert "goodput" not in text


def test_parts_of_the_time_that_are_next_to_nothing_are_no_line_and_small_ones_no_zero() -> None:
    lines = page(make_job(ledger=make_ledger(useful=10_000.0, saving=1.0, waiting=0.04))).splitlines()
    at = lines.index("  TIME    SPENT       SHARE")
    assert lines[at + 1 : at + 4] == ["  useful  2 h 47 min  100.0 %", "  saving  1 s         under 0.1 %", ""]


@pytest.mark.parametrize(
    ("pace", "said"),
    [
        (Pace(save_every=200, write=0.8), "every 3 min 20 s; a failure costs about 1 min 40 s; overhead 0.4 %"),
        (
            Pace(save_every=200, snapshot_every=12, copy=0.03, write=1.3),
            f"{TO_MEMORY}; a crash costs about 6 s, the loss of the machine about 1 min 41 s; overhead 0.3 %",
        ),
        (Pace(snapshot_every=0.02, copy=0.0002), "to memory every 20 ms; a crash costs about 10 ms"),
        (Pace(save_every=600, write=0.1), "every 10 min; a failure costs about 5 min; overhead under 0.1 %"),
    ],
)
def test_how_often_it_saves_stands_beside_what_that_costs_and_saves(pace: Pace, said: str) -> None:
    text = page(make_job(pace=describe_pace(pace)), width=None)
    assert f"  saves       {said}\n" in text


def test_of_a_hundred_attempts_the_last_ten_are_shown_and_the_page_says_so() -> None:
    ended = [
        make_attempt(n, ended_at="2026-11-24T10:00:02.000Z", exit_code=1, why="exit code 1") for n in range(1, 101)
    ]
    text = page(make_job(attempts=ended))
    assert "(90 earlier attempts are not shown; --json has all)" in text
    rows = [line for line in text.splitlines() if line.endswith("exit code 1")]
    assert len(rows) == 10
    assert rows[0].startswith("  91 ")
    assert rows[-1].startswith("  100 ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"started_at": None}, "-"),
        ({}, "runs"),
        ({"ended_at": "x", "signal": 9, "why": "killed by signal 9"}, "killed by signal 9 (SIGKILL)"),
        ({"ended_at": "x", "signal": 15, "why": "stop"}, "stop: signal 15 (SIGTERM)"),
        ({"ended_at": "x", "signal": 63, "why": None}, "signal 63 (signal 63)"),
        ({"ended_at": "x", "exit_code": 3, "why": "exit code 3"}, "exit code 3"),
        ({"ended_at": "x", "exit_code": 75, "why": "preempted"}, "preempted: exit code 75"),
        ({"ended_at": "x", "why": "the machine was restarted"}, "the machine was restarted"),
        ({"ended_at": "x"}, "unknown"),
        (
            {"ended_at": "x", "signal": 9, "why": "killed by signal 9", "not_saved": "No space left on device"},
            "killed by signal 9 (SIGKILL); its last snapshot was lost: No space left on device",
        ),
    ],
)
def test_the_end_of_an_attempt_says_what_is_known_once(changes: dict[str, Any], said: str) -> None:
    attempt = cast(Attempt, make_attempt(**changes).model_dump())
    assert describe_end(attempt) == said


@pytest.mark.parametrize(
    ("state", "first"),
    [
        ("running", "perdure logs -f gpt"),
        ("failed", "perdure logs gpt"),
        ("stopped", "perdure resume gpt"),
        ("parked", "perdure resume gpt"),
        ("succeeded", "perdure checkpoints gpt"),
        ("waiting", "perdure events -f gpt"),
    ],
)
def test_the_next_command_fits_the_state(state: str, first: str) -> None:
    job = cast(Job, make_job(state=state).model_dump(mode="json", by_alias=True))
    assert suggest(job, "gpt")[0][0] == first


@pytest.mark.parametrize("state", ["queued", "parked"])
def test_who_waits_for_its_turn_is_told_how_to_see_who_is_ahead(state: str) -> None:
    queue = QueueView(
        priority=0, group=None, resources=ResourcesView(cpus=2, gpus=0, memory=None), position=3, behind=None, gpus=[]
    )
    job = cast(Job, make_job(state=state, queue=queue).model_dump(mode="json", by_alias=True))
    assert suggest(job, "gpt")[0][0] == "perdure ps"


def test_what_ended_a_failed_job_is_on_its_page_with_what_followed() -> None:
    """The traceback as it was printed, what the kernel said, what to do, and why there is no further attempt."""
    ended = make_attempt(
        ended_at="2026-11-24T10:03:09.000Z",
        exit_code=1,
        cause="gpu_fault",
        why="Xid 79 (the GPU has fallen off the bus); RuntimeError: CUDA error",
        error="RuntimeError: CUDA error",
        traceback=[
            "Traceback (most recent call last):",
            '  File "train.py", line 5',
            "    step\x1b[2J()",
            "RuntimeError",
        ],
        kernel=["NVRM: Xid (PCI:0000:3b:00): 79"],
        advice="take the machine out of service and restart it",
        decision="gave up",
    )
    text = page(make_job(state="failed", reason="gave up", attempts=[ended]))
    assert (
        "  what ended attempt 1 (gpu_fault)\n"
        "  │ Traceback (most recent call last):\n"
        '  │   File "train.py", line 5\n'
        "  │     step�[2J()\n"
        "  │ RuntimeError\n"
        "  │ NVRM: Xid (PCI:0000:3b:00): 79\n"
        "  advice  take the machine out of service and restart it\n"
        "  then    gave up\n"
    ) in text
    assert "gpu_fault  Xid 79 (the GPU has fallen off the" in text
    assert "exit code" not in text


@pytest.mark.parametrize("state", ["running", "succeeded", "stopped"])
def test_a_page_of_a_job_that_got_over_it_is_not_filled_with_old_tracebacks(state: str) -> None:
    ended = make_attempt(ended_at="2026-11-24T10:03:09.000Z", cause="exception", traceback=["Traceback"], decision="x")
    assert "what ended" not in page(make_job(state=state, attempts=[ended]))


def test_a_job_that_waits_says_what_for_and_until_when(in_berlin: None) -> None:
    job = make_job(
        state="waiting", waiting_for="the disk to take a file again", waiting_until="2026-11-24T10:09:00.000Z"
    )
    assert "  waits       for the disk to take a file again, until 11-24 11:09:00 (in 30 s)\n" in page(job)


def remote_of(**changes: object) -> RemoteView:
    """It has step 1000, and lacks step 1100."""
    usual = RemoteView(
        url="s3://bucket/run",
        step=1000,
        committed_at="2026-11-24T10:04:30.000Z",
        pending_step=1100,
        doing="waiting",
        moving_step=None,
        bytes_done=None,
        bytes_total=None,
        trouble=None,
        retry_at=None,
    )
    return usual.model_copy(update=changes)


UPLOADING = {"doing": "uploading", "moving_step": 1100, "bytes_done": 30 << 20, "bytes_total": 120 << 20}
FETCHING = UPLOADING | {"doing": "fetching", "pending_step": None}


@pytest.mark.parametrize(
    ("remote", "lines"),
    [
        (remote_of(pending_step=None, doing="nothing"), ["step 1000, 4m ago: s3://bucket/run"]),
        (remote_of(), ["step 1000, 4m ago: s3://bucket/run", "step 1100 is not there yet"]),
        (remote_of(step=None, committed_at=None, pending_step=None), ["nothing yet: s3://bucket/run"]),
        (
            remote_of(**UPLOADING),
            [
                "step 1000, 4m ago: s3://bucket/run",
                "step 1100 is not there yet; copying step 1100  █████░░░░░░░░░░░░░░░ 25% of 120 MiB",
            ],
        ),
        (
            remote_of(**FETCHING),
            ["step 1000, 4m ago: s3://bucket/run", "fetching step 1100  █████░░░░░░░░░░░░░░░ 25% of 120 MiB"],
        ),
        (
            remote_of(
                trouble=RemoteTroubleView(what="It failed.", why="It was away.", todo="Wait."),
                retry_at="2026-11-24T10:08:38.000Z",
            ),
            [
                "step 1000, 4m ago: s3://bucket/run",
                "step 1100 is not there yet; tried again in 8 s",
                "It failed.",
                "It was away.",
                "Wait.",
            ],
        ),
    ],
)
@pytest.mark.parametrize("state", ["running", "succeeded"])
def test_the_page_says_what_is_on_the_remote_and_what_is_not(state: str, remote: RemoteView, lines: list[str]) -> None:
    """Also of a job that is done: a copy that is pending must not be hidden by it."""
    shown = page(make_job(state=state, remote=remote)).splitlines()
    at = next(number for number, line in enumerate(shown) if line.startswith("  remote "))
    assert [line.removeprefix("  remote").strip() for line in shown[at : at + len(lines)]] == lines
    assert not shown[at + len(lines)].startswith("   ")
