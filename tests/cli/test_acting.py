"""The verbs that act: what they ask, what they wait for, what they say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perdured.api.seam import Wish
from perdured.cli.main import run_cli
from perdured.cli.settings import Settings
from perdured.queue_view import GpuView
from perdured.views import JobView, NewestCheckpoint
from support.fake_service import FakeService, Served, make_attempt, make_job, serving

JOB = "k7mq2xwp"
Perdure = Callable[..., tuple[int, str, str]]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    service = FakeService((make_job(), make_job("p3x9aa2b", "other")))
    service.after_asking = fulfil
    with serving(service, tmp_path / "s") as served:
        yield served


@pytest.fixture
def perdure(served: Served, capsys: pytest.CaptureFixture[str]) -> Perdure:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = run_cli(arguments, Settings(socket=served.socket_path))
        out, err = capsys.readouterr()
        return status, out, err

    return run


def fulfil(job: JobView, wish: Wish) -> JobView:
    """What the daemon makes of a wish, without the waiting."""
    if wish == "stop":
        return job.model_copy(update={"state": "stopped", "reason": "stopped at step 1200", "exit_status": 75})
    if wish == "save":
        path = "/runs/gpt/checkpoints/step-000000001200-000012"
        newest = NewestCheckpoint(step=1200, path=path, committed_at="2026-11-24T10:06:00.000Z")
        return job.model_copy(update={"checkpoint": newest})
    attempts = [*job.attempts, make_attempt(len(job.attempts) + 1, resumed_from_step=1100)]
    changes = {"state": "running", "reason": f"attempt {len(attempts)} is running", "exit_status": None}
    return job.model_copy(update={**changes, "attempts": attempts})


@pytest.mark.parametrize(
    ("verb", "wish", "said"),
    [
        ("stop", "stop", "gpt k7mq2xwp: stopped, stopped at step 1200 (newest checkpoint: step 1100)"),
        ("restart", "restart", "gpt k7mq2xwp: running, attempt 2 is running (newest checkpoint: step 1100)"),
        ("resume", "resume", "gpt k7mq2xwp: running, attempt 2 is running (newest checkpoint: step 1100)"),
        ("checkpoint", "save", "gpt k7mq2xwp: running, attempt 1 is running (newest checkpoint: step 1200)"),
    ],
)
def test_each_verb_asks_waits_and_says_how_it_went(
    verb: str, wish: str, said: str, perdure: Perdure, served: Served
) -> None:
    assert perdure(verb, "gpt") == (0, said + "\n", "")
    assert served.service.asked == [(JOB, wish)]


def test_a_save_with_a_deadline_says_what_will_be_done_and_what_was(perdure: Perdure) -> None:
    out = f"gpt {JOB}: newest checkpoint: step 1200\n"
    assert perdure("checkpoint", "gpt", "--before", "5s") == (0, out, f"gpt {JOB}: as planned\n")


def test_a_save_that_cannot_be_done_in_time_is_not_asked_for(perdure: Perdure, served: Served) -> None:
    status, out, err = perdure("checkpoint", "gpt", "--before", "0.5", "--json")
    assert (status, served.service.asked) == (1, [])
    (job,) = json.loads(out)["jobs"]
    assert (job["plan"]["tier"], job["plan"]["left"], job["checkpoint"]["step"]) == (None, 0.5, 1100)
    assert "as planned" in err


def test_a_save_that_is_late_is_told_and_ends_as_what_timed_out(perdure: Perdure, served: Served) -> None:
    served.call(lambda service: setattr(service, "is_late", True))
    status, out, err = perdure("checkpoint", "gpt", "--before", "1s")
    assert (status, out) == (124, f"gpt {JOB}: newest checkpoint: step 1100\n")
    assert "nothing was saved within 1 s; what was before stays" in err


@pytest.mark.parametrize("verb", ["stop", "restart", "resume", "checkpoint"])
def test_without_waiting_the_verb_only_asks(verb: str, perdure: Perdure, served: Served) -> None:
    served.service.after_asking = lambda job, _wish: job
    status, out, _ = perdure(verb, "--no-wait", "gpt")
    assert status == 0
    assert "asked; still running" in out


def test_several_jobs_are_asked_before_any_is_waited_for(perdure: Perdure, served: Served) -> None:
    status, out, _ = perdure("stop", "gpt", "other")
    assert status == 0
    assert served.service.asked == [(JOB, "stop"), ("p3x9aa2b", "stop")]
    assert len(out.splitlines()) == 2


def test_a_wrong_job_among_several_means_that_none_is_asked(perdure: Perdure, served: Served) -> None:
    assert perdure("stop", "gpt", "nope")[0] == 4
    assert served.service.asked == []


def test_what_the_state_forbids_is_bad_usage(perdure: Perdure, served: Served) -> None:
    served.service.put(make_job(state="succeeded", exit_status=0))
    status, _, err = perdure("resume", "gpt")
    assert status == 2
    assert "nothing to resume" in err


def test_rm_forgets_the_job_and_says_where_its_checkpoints_stay(perdure: Perdure, served: Served) -> None:
    status, out, _ = perdure("rm", "-y", "gpt")
    assert (status, served.service.asked) == (0, [(JOB, "remove")])
    assert "its checkpoints stay in /runs/gpt/checkpoints" in out
    assert perdure("show", "gpt")[0] == 4


@pytest.mark.parametrize(("answer", "status", "asked"), [("y\n", 0, [(JOB, "remove")]), ("n\n", 1, [])])
def test_rm_asks_on_a_terminal(
    answer: str,
    status: int,
    asked: list[tuple[str, str]],
    perdure: Perdure,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _text: answer.strip())
    ended, _, err = perdure("rm", "gpt")
    assert (ended, served.service.asked) == (status, asked)
    assert "it saves and ends first" in err
    assert ("Nothing was forgotten." in err) == (status == 1)


def test_rm_forgets_nothing_unasked_where_there_is_no_terminal_to_ask_on(perdure: Perdure, served: Served) -> None:
    status, _, err = perdure("rm", "gpt")
    assert (status, served.service.asked) == (2, [])
    assert f"perdure rm -y {JOB}" in err


@pytest.mark.parametrize(
    "words",
    [
        ("stop", "gpt"),
        ("resume", "gpt"),
        ("restart", "gpt"),
        ("checkpoint", "gpt"),
        ("rm", "-y", "gpt"),
        ("wait", "gpt"),
    ],
    ids=lambda words: words[0],
)
def test_each_acting_verb_has_json_as_ps_prints_it(words: tuple[str, ...], perdure: Perdure, served: Served) -> None:
    if words[0] == "wait":
        served.service.put(make_job(state="succeeded", exit_status=0))
    status, out, err = perdure(*words, "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["schema"] == 1
    assert [job["id"] for job in told["jobs"]] == [JOB]


def test_submit_prints_the_id_alone(
    perdure: Perdure, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINE", "1")
    status, out, err = perdure("submit", "--name", "tiny", "--env", "B=2", "--", "python", "train.py")
    assert (status, out) == (0, "job00001\n")
    assert "perdure logs -f job00001" in err
    [submission] = served.service.submitted
    assert (submission.spec.name, submission.workdir) == ("tiny", str(tmp_path))
    assert (submission.env["MINE"], submission.env["B"]) == ("1", "2")


def test_an_array_is_submitted_as_many_jobs_and_their_ids_are_printed(perdure: Perdure, served: Served) -> None:
    status, out, err = perdure("submit", "--array", "3", "--priority", "2", "--at", "+2h", "--", "python", "train.py")
    assert (status, out) == (0, "array000\narray001\narray002\n")
    assert "perdure: 3 jobs" in err
    assert [each.spec.priority for each in served.service.submitted] == [2, 2, 2]
    assert all(each.spec.at is not None for each in served.service.submitted)


def test_groups_are_listed_paused_and_resumed(perdure: Perdure, served: Served) -> None:
    assert perdure("group")[1].split()[-4:] == ["sweep", "open", "2", "7"]
    assert perdure("group", "pause", "sweep")[1].split()[-3:] == ["paused", "2", "7"]
    assert served.service.is_paused
    shown = json.loads(perdure("group", "resume", "sweep", "--json")[1])
    assert shown["groups"] == [{"name": "sweep", "paused": False, "running": 2, "waiting": 7}]
    assert perdure("group", "pause", "swap")[0] == 4
    assert perdure("group", "pause")[0] == 2


def test_gpus_are_listed_and_cleared_from_quarantine(perdure: Perdure, served: Served) -> None:
    assert "pip install 'perdure[gpu]'" in perdure("gpus")[2]
    broken = GpuView(
        uuid="GPU-a1", name="H100", memory=80 << 30, state="quarantined", job=None, why="Xid 79", since=None
    )
    served.service.gpus = [broken]
    assert perdure("gpus")[1].splitlines()[1].split() == [
        "GPU-a1",
        "H100",
        "80",
        "GiB",
        "quarantined",
        "-",
        "Xid",
        "79",
    ]
    assert perdure("gpus", "clear", "GPU-a")[1].splitlines()[1].split()[4] == "free"
    assert perdure("gpus", "clear", "GPU-a")[0] != 0
    assert perdure("gpus", "clear")[0] == 2


def test_a_key_without_effect_is_told_at_submit(perdure: Perdure, tmp_path: Path) -> None:
    """Never silently ignored: whoever wrote it would rely on it."""
    spec = tmp_path / "job.toml"
    spec.write_text('command = ["true"]\n[ranks]\nper_node = 2\n')
    status, out, err = perdure("submit", str(spec))
    assert (status, out) == (0, "job00001\n")
    assert "perdure: without effect: ranks: " in err
    assert "without effect" not in perdure("submit", "--", "true")[2]


def test_submit_json_is_the_job_with_its_notes(perdure: Perdure) -> None:
    told = json.loads(perdure("submit", "--json", "--", "true")[1])
    assert (told["id"], told["notes"]) == ("job00001", [])


def test_submit_takes_a_spec_whose_folder_is_where_its_paths_start(
    perdure: Perdure, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "job.toml").write_text('command = ["python", "train.py"]\nworkdir = "."\n')
    assert perdure("submit", str(tmp_path / "job.toml"))[0] == 0
    assert served.service.submitted[0].workdir == str(tmp_path)


def test_a_wrong_spec_ends_with_2_and_names_key_and_line(perdure: Perdure, served: Served, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('command = ["true"]\nnam = "x"\n')
    status, out, err = perdure("submit", str(tmp_path / "job.toml"))
    assert (status, out) == (2, "")
    assert "line 2: nam" in err


def test_a_wrong_option_names_the_key_and_no_line_of_a_text_that_nobody_wrote(perdure: Perdure) -> None:
    status, _, err = perdure("submit", "--every", "sometimes", "--", "true")
    assert status == 2
    assert "checkpoint.every" in err
    assert "line" not in err
