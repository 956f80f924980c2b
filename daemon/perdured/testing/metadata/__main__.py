"""`python -m perdured.testing.metadata [SCRIPT]`: serves, plays the script in real time, and goes on until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .script import BadScript, Step, parse_script
from .server import FakeMetadata


def main(arguments: Sequence[str] | None = None) -> int:
    given = _read_arguments(arguments)
    try:
        steps = parse_script(given.script.read_text(encoding="utf-8")) if given.script else ()
    except (OSError, BadScript) as error:
        print(f"{given.script}: {error}", file=sys.stderr)
        return 2
    time.sleep(given.refuse)
    with FakeMetadata(given.host, given.port) as fake:
        print(fake.url, flush=True)
        try:
            _play(fake, steps, given.speed)
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m perdured.testing.metadata", description="A fake metadata server.")
    parser.add_argument("script", nargs="?", type=Path, help="a JSON file; see docs/fake-metadata.md")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default: one that is free; the URL is printed")
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of the script in a second")
    parser.add_argument("--refuse", type=float, default=0.0, metavar="S", help="listen only after so many seconds")
    return parser.parse_args(arguments)


def _play(fake: FakeMetadata, steps: Sequence[Step], speed: float) -> None:
    start = time.monotonic()
    for step in steps:
        time.sleep(max(start + step.at / speed - time.monotonic(), 0.0))
        fake.change(step.change)
        print(f"{step.at:8.1f}  {step.say or ', '.join(step.change)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
