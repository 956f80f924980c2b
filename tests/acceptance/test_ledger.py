"""Where the time of a real job went, over a crash, and over the loss of the registry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from perdured.cli.ledger_table import PARTS
from perdured.cli.text import parse_time
from support.daemons import Daemon, wait_for

TELLER = Path(__file__).parent.parent / "support" / "teller.py"


def measure(job: dict[str, Any]) -> dict[str, float]:
    """Its ledger, which must add up."""
    ledger = dict(job["ledger"])
    assert sum(ledger[part] for part in PARTS) == pytest.approx(ledger["whole"], abs=0.01)
    return ledger


def tell(daemon: Daemon, work: Path, die_at: int, steps: int) -> str:
    extra = '[restart]\nbackoff = "50ms..50ms"'
    return daemon.submit(work, sys.executable, str(TELLER), str(die_at), str(steps), extra=extra)


def test_the_whole_time_of_a_job_is_accounted_for(daemon: Daemon, tmp_path: Path) -> None:
    """It dies at step 25 and does 25 of its 50 steps again."""
    job = tell(daemon, tmp_path / "work", 25, 50)
    shown = daemon.wait_for_state(job, "succeeded")
    ledger = measure(shown)
    took = parse_time(shown["ended_at"]) - parse_time(shown["submitted_at"])
    assert ledger["whole"] == pytest.approx(took, abs=0.01)
    assert ledger["redone"] >= 25 * 0.02 * 0.9
    assert ledger["useful"] >= 50 * 0.02 * 0.9
    assert ledger["loading"] >= 2 * 0.02
    assert ledger["starting"] > 0
    assert ledger["waiting"] > 0
    assert shown["goodput"] == pytest.approx(ledger["useful"] / ledger["whole"], abs=1e-3)
    page = daemon.run("show", job).stdout
    assert "  useful  " in page
    assert "  redone  " in page


def test_a_lost_registry_takes_nothing_from_the_ledger_that_the_attempts_know(daemon: Daemon, tmp_path: Path) -> None:
    job = tell(daemon, tmp_path / "work", 25, 100_000)
    wait_for(lambda: len(daemon.show(job)["attempts"]) == 2, "the second attempt")
    before = measure(daemon.wait_for_step(job, 60))
    daemon.kill()
    for path in daemon.state.glob("registry.sqlite*"):
        path.unlink()
    daemon.start()
    after = measure(daemon.wait_for_step(job, 61))
    assert after["whole"] >= before["whole"]
    for part in ("useful", "redone", "loading"):
        assert after[part] >= before[part] - 0.2, part


def test_the_daemon_has_the_ledger_of_its_jobs_as_metrics(daemon: Daemon, tmp_path: Path) -> None:
    job = tell(daemon, tmp_path / "work", 1, 1)
    daemon.wait_for_state(job, "succeeded")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(daemon.socket)), base_url="http://perdure") as client:
        text = client.get("/metrics").text
    for part in PARTS:
        assert f'perdure_job_time_seconds{{job_id="{job}",job_name="{Path(TELLER).stem}",part="{part}"}}' in text
