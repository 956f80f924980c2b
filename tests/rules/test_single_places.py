"""One module touches processes, one touches durable files, one asks the time; and nothing unpickles."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest

from support.sources import DAEMON, Found, Source, find_imports, find_names, is_within, load_sources, parse_source

CLOCKS = {
    *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "clock_gettime")),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
}
PROCESSES = {
    *(f"os.{name}" for name in ("kill", "killpg", "fork", "forkpty", "system", "popen", "pidfd_open", "waitpid")),
    *(
        "asyncio.create_subprocess_exec",
        "asyncio.create_subprocess_shell",
        "signal.pidfd_send_signal",
        "signal.raise_signal",
    ),
}
PROCESS_MODULES = ("subprocess", "multiprocessing", "psutil", "pty")
DURABLE = {f"os.{name}" for name in ("fsync", "fdatasync", "rename", "replace", "renames", "link", "sync")}
UNPICKLING = ("pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib", "torch", "numpy", "yaml")

Finder = Callable[[Source], Iterator[Found]]


def find_clock_reads(source: Source) -> Iterator[Found]:
    for line, name in find_names(source):
        if name in CLOCKS:
            yield Found(f"{source.name}:{line}", name)


def find_process_calls(source: Source) -> Iterator[Found]:
    for line, name in find_names(source):
        if name in PROCESSES or name.startswith(("os.exec", "os.spawn", "os.posix_spawn")):
            yield Found(f"{source.name}:{line}", name)
    for line, name in find_imports(source):
        if is_within(name, *PROCESS_MODULES):
            yield Found(f"{source.name}:{line}", name)


def find_durable_calls(source: Source) -> Iterator[Found]:
    for line, name in find_names(source):
        if name in DURABLE:
            yield Found(f"{source.name}:{line}", name)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_a_path_rename(node):
            yield Found(f"{source.name}:{node.lineno}", ast.unparse(node.func))


def _is_a_path_rename(call: ast.Call) -> bool:
    """`Path.rename(target)`, `Path.replace(target)`; a text's `replace` takes two arguments, a date's takes names."""
    assert isinstance(call.func, ast.Attribute)
    one = len(call.args) == 1 and not call.keywords
    return one and call.func.attr in {"rename", "replace", "hardlink_to"}


def find_lost_cancellations(source: Source) -> Iterator[Found]:
    """`asyncio.wait_for` swallows one, see `perdured.tasks`."""
    for line, name in find_names(source):
        if name == "asyncio.wait_for":
            yield Found(f"{source.name}:{line}", name)


def find_unpickling(source: Source) -> Iterator[Found]:
    for line, name in find_imports(source):
        if is_within(name, *UNPICKLING):
            yield Found(f"{source.name}:{line}", name)


# The command line and the demo are programs of their own: how long they wait and how old a thing looks decides nothing.
# `machine` and the doctor ask other programs questions, `torch_python` runs the training side for `export`, `service`
# calls what sets one up, the demo and the drill break things.
PLACES: dict[Finder, tuple[str, ...]] = {
    find_clock_reads: ("perdured.clock", "perdured.keeper", "perdured.cli", "perdured.demo", "perdured.testing"),
    find_process_calls: (
        *("perdured.processes", "perdured.keeper"),
        *("perdured.machine", "perdured.cli.torch_python", "perdured.cli.service"),
        *("perdured.demo", "perdured.doctor.commands", "perdured.drill.means"),
    ),
    find_durable_calls: ("perdured.contract.durable",),
    find_lost_cancellations: (),
    find_unpickling: (),
}


@pytest.mark.parametrize("finder", PLACES, ids=lambda finder: finder.__name__.removeprefix("find_"))
def test_it_is_done_in_its_one_place(finder: Finder) -> None:
    elsewhere = [s for s in load_sources(DAEMON, "perdured") if not is_within(s.name, *PLACES[finder])]
    assert elsewhere
    assert not [str(found) for source in elsewhere for found in finder(source)]


@pytest.mark.parametrize(
    ("finder", "text"),
    [
        (find_clock_reads, "import time\ntime.time()"),
        (find_clock_reads, "from time import monotonic as now\nnow()"),
        (find_clock_reads, "import datetime as dt\ndt.datetime.now()"),
        (find_process_calls, "import os\nos.kill(1, 9)"),
        (find_process_calls, "from os import fork\nfork()"),
        (find_process_calls, "def f():\n    import subprocess"),
        (find_process_calls, "import asyncio\nasyncio.create_subprocess_exec('x')"),
        (find_process_calls, "import os\nos.execvp('x', [])"),
        (find_durable_calls, "import os\nos.fsync(1)"),
        (find_durable_calls, "path.rename(target)"),
        (find_durable_calls, "(root / 'a').replace(target)"),
        (find_lost_cancellations, "from asyncio import wait_for\nwait_for(x, 1)"),
        (find_unpickling, "from pickle import loads"),
        (find_unpickling, "def f():\n    import torch.serialization"),
    ],
)
def test_the_rule_sees_it(finder: Finder, text: str) -> None:
    assert list(finder(parse_source(text)))


@pytest.mark.parametrize(
    ("finder", "text"),
    [
        (find_clock_reads, "import time\ntime.sleep(1)"),
        (find_lost_cancellations, "import asyncio\nasyncio.wait([x])"),
        (find_durable_calls, "'a b'.replace(' ', '')"),
        (find_durable_calls, "record._replace(step=1)"),
        (find_process_calls, "import os\nos.getpid()"),
    ],
)
def test_the_rule_lets_the_harmless_pass(finder: Finder, text: str) -> None:
    assert not list(finder(parse_source(text)))
