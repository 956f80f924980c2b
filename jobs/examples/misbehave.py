"""A job that goes wrong on demand, to see what Perdure does about it. It needs no torch.

    perdure run misbehave.toml                                            crashes once at step 20, then ends well
    perdure run -- python misbehave.py --do segfault --only-attempt 1     another way
    python misbehave.py --help                                            all of them

It counts steps, saves its count as a real job saves its weights, and at step `--at-step` does what `--do` says: in
each attempt that gets there, or in one alone (`--only-attempt 1`), so that the next one shows the recovery.
"""

import argparse
import ctypes
import importlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import perdure

kept: list[bytearray] = []


def nothing(_args: argparse.Namespace) -> None:
    """behave"""


def error(args: argparse.Namespace) -> None:
    """raise an exception"""
    raise RuntimeError(f"misbehaving at step {args.at_step}, as asked")


def leave(args: argparse.Namespace) -> None:
    """exit with status --code"""
    sys.exit(args.code)


def segfault(_args: argparse.Namespace) -> None:
    """read address 0"""
    ctypes.string_at(0)


def kill(_args: argparse.Namespace) -> None:
    """die by SIGKILL, as the kernel kills when memory is out"""
    os.kill(os.getpid(), signal.SIGKILL)


def hang(args: argparse.Namespace) -> None:
    """make no step for --seconds, deaf to SIGTERM, which is acted on between steps only"""
    until = time.monotonic() + args.seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(left)


def hang_in_c(args: argparse.Namespace) -> None:
    """sleep in C for --seconds, where no Python handler runs"""
    until = time.monotonic() + args.seconds
    while (left := until - time.monotonic()) > 0:
        ctypes.CDLL(None).usleep(int(left * 1e6))


def deadlock(_args: argparse.Namespace) -> None:
    """wait for ever for a lock that nobody will let go"""
    lock = threading.Lock()
    with lock:
        lock.acquire()


def spin(args: argparse.Namespace) -> None:
    """compute without end, and get nowhere, for --seconds"""
    until = time.monotonic() + args.seconds
    while time.monotonic() < until:
        pass


def stuck_worker(args: argparse.Namespace) -> None:
    """wait for a DataLoader worker that sleeps for --seconds; needs torch"""
    data = importlib.import_module("torch.utils.data")
    next(iter(data.DataLoader(_Sleeper(args.seconds), num_workers=1)))


class _Sleeper:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        time.sleep(self._seconds)
        return index


def deaf_hang(args: argparse.Namespace) -> None:
    """ignore SIGTERM, and hang as well"""
    deaf(args)
    hang(args)


def evaluate(args: argparse.Namespace) -> None:
    """compute for --seconds, in several functions in turn, as an evaluation within a step does; then go on"""
    until = time.monotonic() + args.seconds
    while time.monotonic() < until:
        _forward()
        _score()


def _forward() -> None:
    sum(number * number for number in range(50_000))


def _score() -> None:
    sorted(str(number) for number in range(20_000))


def nan(args: argparse.Namespace) -> None:
    """report losses that are not finite, from here on"""
    args.loss = math.nan


def deaf(_args: argparse.Namespace) -> None:
    """go on, but ignore SIGTERM and SIGINT from here on"""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def allocate(args: argparse.Namespace) -> None:
    """go on with --megabytes more memory, each page of it touched"""
    kept.append(bytearray(b"\1") * (args.megabytes << 20))


def orphan(args: argparse.Namespace) -> None:
    """leave a process behind that has a session of its own, no parent, and ignores SIGTERM; then go on"""
    if child := os.fork():
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    print(f"orphan {os.getpid()}", flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.execvp("sleep", ["sleep", str(args.seconds)])  # noqa: S606  a process of its own is the point


def chatter(args: argparse.Namespace) -> None:
    """print --lines lines at once; then go on"""
    for number in range(args.lines):
        print(f"line {number} of {args.lines}, and some words to fill it")


WAYS: dict[str, Callable[[argparse.Namespace], None]] = {
    way.__name__: way
    for way in (
        *(nothing, error, leave, segfault, kill, deaf, allocate, orphan, chatter, nan),
        *(hang, hang_in_c, deadlock, spin, stuck_worker, deaf_hang, evaluate),
    )
}

parser = argparse.ArgumentParser(
    formatter_class=argparse.RawDescriptionHelpFormatter,
    description="ways to misbehave:\n" + "\n".join(f"  {name:12} {way.__doc__}" for name, way in WAYS.items()),
)
add = parser.add_argument
add("--do", choices=WAYS, default="nothing", metavar="WAY")
add("--at-step", type=int, default=20, help="0: before the first (default: %(default)s)")
add("--only-attempt", type=int, metavar="N", help="misbehave in this attempt alone (default: in each)")
add("--steps", type=int, default=60, help="until it is done (default: %(default)s)")
add("--step-seconds", type=float, default=0.05, help="of each step (default: %(default)s)")
add("--code", type=int, default=1, help="of leave (default: %(default)s)")
add("--seconds", type=float, default=60.0, help="that hangs, evaluate and orphan last (default: %(default)s)")
add("--megabytes", type=int, default=256, help="of allocate (default: %(default)s)")
add("--lines", type=int, default=10_000, help="of chatter (default: %(default)s)")
add("--every", default="5 steps", help="between checkpoints (default: %(default)s)")
add("--dir", default=os.environ.get("PERDURE_CHECKPOINT_DIR", "checkpoints/misbehave"), help="of the checkpoints")


def main() -> None:
    args = parser.parse_args()
    args.loss = 1.0
    attempt = int(os.environ.get("PERDURE_ATTEMPT", "1"))
    is_its_turn = args.only_attempt in (None, attempt)
    steps = range(args.steps)

    with perdure.Run(data=steps, values={"attempts": []}, every=args.every, dir=args.dir) as run:
        run.values["attempts"].append(attempt)
        print(f"attempt {attempt}: from step {run.step}", flush=True)
        for _ in run.batches(steps):
            if is_its_turn and run.step == args.at_step:
                print(f"step {run.step}: {args.do}", flush=True)
                WAYS[args.do](args)
            time.sleep(args.step_seconds)
            run.report(loss=args.loss, total=args.steps)
    print(f"done: {run.step} steps in attempts {run.values['attempts']}", flush=True)


if __name__ == "__main__":
    main()
