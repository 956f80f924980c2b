"""The verbs that look, against a served fake of the daemon's service."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perdured.cli.main import run_cli
from perdured.cli.settings import Settings
from perdured.contract.checkpoint.commit import commit_checkpoint
from perdured.contract.checkpoint.manifest import Facts
from perdured.core.events import Event
from support.fake_service import FakeService, Served, make_attempt, make_checkpoint, make_job, serving

JOB = "k7mq2xwp"
ENDED = "2026-11-24T10:03:09.000Z"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(FakeService((make_job(),)), tmp_path / "s") as served:
        yield served


@pytest.fixture
def perdure(served: Served, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line; gives its exit status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = run_cli(arguments, Settings(socket=served.socket_path))
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return run


Perdure = Callable[..., tuple[int, str, str]]


def write_logs(served: Served, folder: Path, *contents: str) -> None:
    """One log an attempt."""
    for number, content in enumerate(contents, start=1):
        (folder / f"{number}.log").write_text(content)
    served.service.logs[JOB] = [(number, folder / f"{number}.log") for number in range(1, len(contents) + 1)]


def test_ps_json_is_an_envelope_of_jobs_as_show_prints_them(perdure: Perdure) -> None:
    status, out, err = perdure("ps", "--json")
    listed = json.loads(out)
    assert (status, err) == (0, "")
    assert listed["schema"] == 1
    assert listed["jobs"] == [json.loads(perdure("show", "gpt", "--json")[1])]


def test_show_json_has_what_the_design_promises(perdure: Perdure) -> None:
    shown = json.loads(perdure("show", JOB, "--json")[1])
    promised = "schema id name state reason step restarts attempts checkpoint goodput"
    assert set(promised.split()) <= set(shown)
    of_attempt = "number pid started_at ended_at exit_code signal cause resumed_from_step"
    assert set(of_attempt.split()) <= set(shown["attempts"][0])
    assert {"step", "path", "committed_at"} <= set(shown["checkpoint"])


def test_an_empty_list_says_how_to_submit_and_prints_no_data(perdure: Perdure, served: Served) -> None:
    served.service.jobs.clear()
    status, out, err = perdure("ps")
    assert (status, out) == (0, "")
    assert "perdure submit -- python train.py" in err
    assert "There are no jobs." in err
    assert json.loads(perdure("ps", "--json")[1]) == {"schema": 1, "jobs": []}


def test_jobs_that_succeeded_are_listed_with_all(perdure: Perdure, served: Served) -> None:
    served.service.put(make_job(state="succeeded"))
    status, out, err = perdure("ps")
    assert (status, out) == (0, "")
    assert "perdure ps --all" in err
    assert JOB in perdure("ps", "--all")[1]


@pytest.mark.parametrize("verb", ["show", "logs", "events", "wait", "stop", "checkpoints", "resume", "restart"])
def test_an_unknown_job_ends_with_4_and_no_data(verb: str, perdure: Perdure) -> None:
    status, out, err = perdure(verb, "nope")
    assert (status, out) == (4, "")
    assert 'no job "nope"' in err


def test_an_ambiguous_prefix_ends_with_2(perdure: Perdure, served: Served) -> None:
    served.service.put(make_job("k7aaaaaa", "other"))
    assert perdure("show", "k7")[0] == 2


def test_a_name_with_a_slash_is_no_job_and_no_other_address(perdure: Perdure) -> None:
    assert perdure("show", "../health")[0] == 4
    assert perdure("show", "")[0] == 4


def test_show_ends_with_the_last_lines_of_the_newest_output(perdure: Perdure, served: Served, tmp_path: Path) -> None:
    write_logs(served, tmp_path, "old\n", "".join(f"line {n}\n" for n in range(20)))
    out = perdure("show", "gpt")[1]
    assert "old" not in out
    assert [line.split("│ ")[1] for line in out.splitlines() if "│ " in line] == [f"line {n}" for n in range(15, 20)]


def test_logs_pass_the_output_of_all_attempts_on_with_a_line_between_on_stderr(
    perdure: Perdure, served: Served, tmp_path: Path
) -> None:
    served.service.put(make_job(attempts=[make_attempt(ended_at=ENDED), make_attempt(2, resumed_from_step=1100)]))
    write_logs(served, tmp_path, "one\r50%\n", "two\n")
    assert perdure("logs", "gpt") == (0, "one\r50%\ntwo\n", "── attempt 2, from step 1100 ──\n")


@pytest.mark.parametrize(("lines", "printed"), [("0", ""), ("1", "d\n"), ("3", "b\nc\nd\n"), ("99", "a\nb\nc\nd\n")])
def test_the_last_lines_are_counted_over_attempts(
    lines: str, printed: str, perdure: Perdure, served: Served, tmp_path: Path
) -> None:
    served.service.put(make_job(attempts=[make_attempt(ended_at=ENDED), make_attempt(2)]))
    write_logs(served, tmp_path, "a\nb\n", "c\nd\n")
    assert perdure("logs", "gpt", "-n", lines)[:2] == (0, printed)


def test_one_attempt_of_several_can_be_chosen(perdure: Perdure, served: Served, tmp_path: Path) -> None:
    served.service.put(make_job(attempts=[make_attempt(ended_at=ENDED), make_attempt(2)]))
    write_logs(served, tmp_path, "one\n", "two\n")
    assert perdure("logs", "gpt", "--attempt", "2") == (0, "two\n", "")
    status, out, err = perdure("logs", "gpt", "--attempt", "3")
    assert (status, out) == (4, "")
    assert "no attempt 3" in err


def test_logs_json_says_where_the_files_are(perdure: Perdure, served: Served, tmp_path: Path) -> None:
    write_logs(served, tmp_path, "one\n")
    expected = {"schema": 1, "logs": [{"attempt": 1, "path": str(tmp_path / "1.log"), "bytes": 4}]}
    assert json.loads(perdure("logs", "gpt", "--json")[1]) == expected


def test_a_job_that_has_printed_nothing_says_so_on_stderr(perdure: Perdure) -> None:
    status, out, err = perdure("logs", "gpt")
    assert (status, out) == (0, "")
    assert "has printed nothing" in err


def test_following_a_log_goes_on_over_a_restart_and_ends_with_the_job(
    perdure: Perdure, served: Served, tmp_path: Path
) -> None:
    """Each step is taken when the one before was printed, so that nothing here depends on time."""
    write_logs(served, tmp_path, "one\n")
    service = served.service
    steps: Iterator[Callable[[], None]] = iter(
        [
            lambda: (tmp_path / "1.log").open("a").close(),
            lambda: _append(tmp_path / "1.log", "one more\n"),
            lambda: _restart(service, tmp_path),
            lambda: _end(service, tmp_path),
        ]
    )

    def advance() -> None:
        # The service's own loop calls this each time that somebody looks at the log.
        next(steps, lambda: None)()

    listed = service.log_files

    def log_files(ref: str) -> list[tuple[int, Path]]:
        advance()
        return listed(ref)

    service.log_files = log_files  # type: ignore[method-assign]
    status, out, err = perdure("logs", "-f", "gpt")
    assert (status, out) == (0, "one\none more\ntwo\nthree\n")
    assert err == "── attempt 2, from step 1100 ──\n"


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def _restart(service: FakeService, folder: Path) -> None:
    _append(folder / "2.log", "two\n")
    service.logs[JOB] = [(1, folder / "1.log"), (2, folder / "2.log")]
    service.put(make_job(attempts=[make_attempt(ended_at=ENDED), make_attempt(2, resumed_from_step=1100)]))


def _end(service: FakeService, folder: Path) -> None:
    _append(folder / "2.log", "three\n")
    service.put(service.jobs[JOB].model_copy(update={"state": "succeeded", "exit_status": 0}))


def test_events_are_told_with_job_kind_and_words(perdure: Perdure, served: Served, in_berlin: None) -> None:
    served.service.tell(JOB, Event(kind="started", text="attempt 1 is running", attempt=1))
    assert perdure("events", "gpt") == (
        0,
        "11-24 11:00:00  gpt           started      attempt 1 is running\n",
        "",
    )
    [event] = json.loads(perdure("events", "--json")[1])["events"]
    assert (event["seq"], event["job"], event["kind"], event["attempt"]) == (1, JOB, "started", 1)


def test_following_events_ends_when_the_job_has_come_to_rest(perdure: Perdure, served: Served) -> None:
    served.service.tell(JOB, Event(kind="started", text="attempt 1 is running"))

    def end() -> None:
        served.call(lambda service: service.put(make_job(state="failed", exit_status=3)))
        served.call(lambda service: service.tell(JOB, Event(kind="failed", text="exit code 3")))

    with OncePolled(served, end):
        status, out, _ = perdure("events", "-f", "gpt", "--json")
    assert status == 0
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["started", "failed"]


class OncePolled:
    """Calls `then` in a thread once somebody waits for an event."""

    def __init__(self, served: Served, then: Callable[[], None]) -> None:
        self._served, self._then = served, then
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._served.call(lambda service: service.waiting):
            if self._is_over.wait(0.01):
                return
        self._then()


def test_wait_ends_as_the_job_did(perdure: Perdure, served: Served) -> None:
    def end() -> None:
        served.call(lambda service: service.put(make_job(state="failed", exit_status=137)))
        served.call(lambda service: service.tell(JOB, Event(kind="failed", text="killed by signal 9")))

    with OncePolled(served, end):
        assert perdure("wait", "gpt") == (137, "", "")


@pytest.mark.parametrize(("statuses", "expected"), [((0, 0), 0), ((0, 3), 3), ((4, 3), 4), ((75, 0), 75)])
def test_of_several_jobs_the_first_status_that_is_not_zero_counts(
    statuses: tuple[int, int], expected: int, perdure: Perdure, served: Served
) -> None:
    for id, status in zip(("aaaaaaaa", "bbbbbbbb"), statuses, strict=True):
        served.service.put(make_job(id, id, state="failed", exit_status=status))
    assert perdure("wait", "aaaaaaaa", "bbbbbbbb")[0] == expected


@pytest.mark.parametrize("timeout", ["0", "0.05", "50ms"])
def test_wait_gives_up_after_its_timeout_with_124(timeout: str, perdure: Perdure) -> None:
    status, out, err = perdure("wait", "gpt", "--timeout", timeout)
    assert (status, out) == (124, "")
    assert "gpt is running" in err


def test_checkpoints_are_listed_with_size_and_validity(perdure: Perdure, served: Served) -> None:
    verified = make_checkpoint(900, verified_at="2026-11-24T10:06:00.000Z")
    served.service.saved[JOB] = [make_checkpoint(1100), make_checkpoint(1000, valid=False, healthy=None), verified]
    out = perdure("checkpoints", "gpt")[1].splitlines()
    assert [line.split()[0] for line in out] == ["STEP", "1100", "1000", "900"]
    assert "1.5 MiB" in out[1]
    assert out[1].endswith("unverified  -         yes      disk   /runs/gpt/checkpoints/step-000000001100-000011")
    assert "no          -         unknown" in out[2]
    assert "yes         " in out[3]
    assert json.loads(perdure("checkpoints", "gpt", "--json")[1])["checkpoints"][0]["step"] == 1100


def test_the_checkpoints_of_a_directory_are_listed_without_a_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `perdure run` left, by a path or by a plain name."""
    settings = Settings(socket=tmp_path / "nobody")
    (tmp_path / "mine").mkdir()
    commit_checkpoint(tmp_path / "mine", 7, {"w": [b"abc"]}, Facts(None, None, "run"))
    monkeypatch.chdir(tmp_path)
    for where in ("mine", "./mine", str(tmp_path / "mine")):
        assert run_cli(["checkpoints", "--json", where], settings) == 0
        [found] = json.loads(capsys.readouterr().out)["checkpoints"]
        assert (found["step"], found["bytes"], found["valid"]) == (7, 3, True)
        assert Path(found["path"]).parent == tmp_path / "mine"
    assert run_cli(["checkpoints", "./nothing"], settings) == 2
    assert run_cli(["checkpoints", "nothing"], settings) == 69


def test_a_job_is_meant_before_a_directory_of_its_name(
    perdure: Perdure, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpt").mkdir()
    monkeypatch.chdir(tmp_path)
    served.service.saved[JOB] = [make_checkpoint(1100)]
    assert "1100" in perdure("checkpoints", "gpt")[1]


def test_a_job_without_checkpoints_says_where_they_would_be(perdure: Perdure) -> None:
    status, out, err = perdure("checkpoints", "gpt")
    assert (status, out) == (0, "")
    assert "/runs/gpt/checkpoints" in err
