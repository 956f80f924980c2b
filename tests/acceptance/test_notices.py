"""From a metadata service that speaks HTTP to the checkpoint that is committed before the deadline."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.testing.metadata import FakeMetadata
from support.daemons import BIN, Daemon, wait_for
from support.endless import format_endless


@pytest.fixture
def fake() -> Iterator[FakeMetadata]:
    with FakeMetadata() as fake:
        yield fake


@pytest.fixture
def daemon(tmp_path: Path, fake: FakeMetadata, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """In the fake cloud, as its environment says."""
    monkeypatch.setenv("PERDURE_NOTICES_CLOUD", "aws")
    monkeypatch.setenv("PERDURE_NOTICES_AWS_URL", fake.url)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    daemon = Daemon(tmp_path)
    daemon.start()
    yield daemon
    daemon.close()


def standing(daemon: Daemon) -> list[str]:
    return [notice["kind"] for notice in daemon.client.show_notices()["notices"] if notice["stands"]]


def say_source(daemon: Daemon, name: str) -> str:
    return {source["source"]: source["why"] for source in daemon.client.show_notices()["sources"]}[name]


def start_job(daemon: Daemon) -> str:
    folder = daemon.root / "job"
    folder.mkdir()
    (folder / "train.py").write_text(format_endless("1000000 steps"))
    job = daemon.submit(folder, sys.executable, "train.py", extra="[checkpoint]\nmemory = false\n")
    daemon.wait_for_step(job, 3)
    return job


def test_a_spot_notice_is_shown_and_recorded_and_the_job_saves_before_its_deadline(
    daemon: Daemon, fake: FakeMetadata
) -> None:
    job = start_job(daemon)
    assert daemon.show(job)["checkpoint"] is None
    fake.change({"aws": {"spot": {"action": "terminate", "in": 120}}})
    wait_for(lambda: standing(daemon) == ["reclaim"], "the notice")
    page = daemon.run("notices").stdout
    assert "AWS takes this spot instance back and terminates it: 1 min" in page
    assert json.loads((daemon.state / "notices.json").read_text())["notices"][0]["kind"] == "reclaim"
    wait_for(lambda: daemon.show(job)["checkpoint"], "the checkpoint")
    daemon.run("stop", job)


def test_a_notice_outlives_the_daemon_that_heard_it_and_is_withdrawn_by_the_next(
    daemon: Daemon, fake: FakeMetadata
) -> None:
    fake.change({"aws": {"spot": {"action": "terminate", "in": 120}}})
    wait_for(lambda: standing(daemon) == ["reclaim"], "the notice")
    (before,) = daemon.client.show_notices()["notices"]
    daemon.kill()
    fake.change({"manners": {"status": 503}})
    daemon.start()
    assert standing(daemon) == ["reclaim"]
    fake.change({"manners": None, "aws": {"spot": None}})
    wait_for(lambda: standing(daemon) == [], "its withdrawal")
    (after,) = daemon.client.show_notices()["notices"]
    assert (after["id"], after["received_at"]) == (before["id"], before["received_at"])
    assert after["withdrawn_at"] is not None


def test_a_file_and_a_signal_are_notices(daemon: Daemon) -> None:
    (daemon.state / "notices" / "bid").write_text("deadline = 5min\nkind = reclaim")
    wait_for(lambda: standing(daemon) == ["reclaim"], "the file")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: standing(daemon) == ["reclaim", "terminate"], "the signal")
    assert daemon.client.show_notices()["outlook"].startswith("told by SIGUSR1 to end:")


def test_the_config_names_the_sources(tmp_path: Path) -> None:
    config = tmp_path / "perdured.toml"
    config.write_text(
        f'[notices]\ncloud = "gcp"\ngcp_url = "http://127.0.0.1:1"\nfolder = "{tmp_path}/n"\nsignal = "none"\n'
    )
    daemon = Daemon(tmp_path)
    daemon.start("--config", str(config))
    try:
        wait_for(lambda: say_source(daemon, "folder") == f"files in {tmp_path}/n", "the folder to be looked at")
        assert say_source(daemon, "aws") == "notices.cloud says 'gcp'"
        wait_for(lambda: "nobody listens" in say_source(daemon, "gcp"), "the source to be blind")
    finally:
        daemon.close()


def test_what_ends_a_pod_is_recorded_before_the_daemon_leaves(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("PERDURE_NOTICES_GRACE", "55s")
    daemon.kill()
    daemon.start()
    wait_for(lambda: say_source(daemon, "kubernetes") == "SIGTERM, and 55 s from there", "the source")
    daemon.kill(signal.SIGTERM)
    (notice,) = json.loads((daemon.state / "notices.json").read_text())["notices"]
    assert (notice["source"], notice["raw"]) == ("kubernetes", "SIGTERM")
    assert notice["deadline"] - notice["received_at"] == pytest.approx(55.0)


def test_perdure_run_listens_as_well(tmp_path: Path, fake: FakeMetadata, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod and a step of Slurm have no daemon."""
    monkeypatch.setenv("PERDURE_NOTICES_CLOUD", "aws")
    monkeypatch.setenv("PERDURE_NOTICES_AWS_URL", fake.url)
    (tmp_path / "train.py").write_text(format_endless("1000000 steps"))
    command = [str(BIN / "perdure"), "run", "--", sys.executable, "train.py"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run:
        try:
            state = tmp_path / "checkpoints" / ".perdure"
            wait_for((state / "registry.sqlite").exists, "the run to begin")
            fake.change({"aws": {"spot": {"action": "terminate", "in": 120}}})
            wait_for((state / "notices.json").exists, "the notice to be recorded")
            checkpoints = tmp_path / "checkpoints"
            wait_for(lambda: list(checkpoints.glob("step-*/COMMIT")), "the checkpoint before the deadline")
        finally:
            run.terminate()
            run.communicate(timeout=30)
    assert run.returncode == 75
