"""A save with a deadline, from the command line to the disk and back; and what `perdure show` says of saving."""

from __future__ import annotations

import json
import sys

from support.daemons import Daemon, wait_for
from support.endless import format_endless


def test_what_fits_is_saved_what_does_not_is_not_begun_and_the_page_says_how_often_it_saves(daemon: Daemon) -> None:
    folder = daemon.root / "job"
    folder.mkdir()
    (folder / "train.py").write_text(format_endless("auto"))
    job = daemon.submit(folder, sys.executable, "train.py", extra="[checkpoint]\nmemory = false\n")
    daemon.wait_for_step(job, 3)
    saved = daemon.run("checkpoint", job, "--before", "30s", "--json")
    assert saved.returncode == 0, saved.stderr
    (shown,) = json.loads(saved.stdout)["jobs"]
    assert shown["plan"]["tier"] == "disk"
    assert "has not been measured yet" in saved.stderr
    step = shown["checkpoint"]["step"]
    wait_for(lambda: daemon.show(job)["pace"], "the pace to be told")
    refused = daemon.run("checkpoint", job, "--before", "0")
    assert (refused.returncode, "nothing is begun" in refused.stderr) == (1, True), refused.stderr
    assert daemon.show(job)["checkpoint"]["step"] == step
    page = daemon.run("show", job).stdout
    assert "saves       every 30 s; a failure costs about 15 s; overhead" in page
    daemon.run("stop", job)
