"""What programs write by themselves is mirrored like every checkpoint: a new machine goes on from it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemons import Daemon, wait_for
from support.s3 import Bucket, Proxy

PROGRAM = Path(__file__).parents[1] / "support" / "own_files.py"


class Box(Daemon):
    """A machine with a job whose program writes its own files."""

    def __init__(self, root: Path, bucket: Bucket, proxy: Proxy) -> None:
        root.mkdir()
        super().__init__(root)
        self.work = root / "work"
        self._bucket, self._credentials = bucket, bucket.env(proxy.url)

    def begin(self, kind: str, steps: int, pattern: str, more: str = "") -> str:
        self.work.mkdir(exist_ok=True)
        (self.work / "job.toml").write_text(
            f'name = "own"\ncommand = ["{sys.executable}", "{PROGRAM}", "{kind}", "{steps}"]\n[checkpoint]\n'
            f'remote = "{self._bucket.url}"\npattern = "{pattern}"\n{more}\n[restart]\nbackoff = "10ms..50ms"\n'
        )
        done = self.run("submit", str(self.work / "job.toml"), env=self._credentials)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def wait_until_mirrored(self, job: str) -> None:
        assert self.run("wait", job, "--timeout", "40").returncode == 0
        wait_for(lambda: self._is_mirrored(self.show(job)), "its newest to be on the remote", 40.0)

    def _is_mirrored(self, shown: dict[str, Any]) -> bool:
        remote = shown["remote"]
        return remote["step"] is not None and remote["step"] == shown["checkpoint"]["step"]

    def lose(self) -> None:
        self.close()
        shutil.rmtree(self.root)

    def starts(self) -> list[int]:
        """The step from which each start of the program went on."""
        return [int(line) for line in (self.work / "starts.txt").read_text().splitlines()]


@pytest.fixture
def boxes(tmp_path: Path, bucket: Bucket, proxy: Proxy) -> Iterator[tuple[Box, Box]]:
    pair = Box(tmp_path / "a", bucket, proxy), Box(tmp_path / "b", bucket, proxy)
    pair[0].start()
    yield pair
    for box in pair:
        box.close()


QUICK = {("file", "told"), ("fixed", "by itself"), ("hugging_face", "by itself")}
PATTERNS = {
    "file": "out/ckpt-*.pt",
    "fixed": "ckpt.pt",
    "lightning": "out/*.ckpt",
    "hugging_face": "out/checkpoint-*",
    "dcp": "out/dcp-*",
}
EACH = [
    pytest.param(kind, how, marks=() if (kind, how) in QUICK else pytest.mark.slow)
    for kind in PATTERNS
    for how in ("told", "by itself")
]


@pytest.mark.parametrize(("kind", "how"), EACH)
def test_a_new_machine_goes_on_from_the_programs_own_files(boxes: tuple[Box, Box], kind: str, how: str) -> None:
    """With nothing but the spec and the bucket; whether it is told the path, or looks for its newest by itself."""
    (old, new), pattern = boxes, PATTERNS[kind]
    more = 'resume_args = ["--resume", "{checkpoint}"]' if how == "told" else ""
    job = old.begin(kind, 3, pattern, more)
    old.wait_until_mirrored(job)
    old.lose()
    new.start()
    job = new.begin(kind, 5, pattern, more)
    assert new.run("wait", job, "--timeout", "40").returncode == 0
    assert new.starts() == [3]
