"""A standby is the next attempt's process, and nothing but early: what it runs finds all as in a fresh interpreter."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.keeper import records
from perdured.keeper.lock import is_locked
from perdured.processes import NoStandby, Standby, clear_standby, start_keeper, start_standby
from support.leftovers import MARK
from support.processes import get_run, is_alive, run, wait_until
from support.standbys import (
    find_waiting,
    make_attempt,
    make_standby_order,
    python,
    run_both,
    start_by_standby,
    take_outcome,
)

LOOK_AROUND = """
import sys
modules = sorted(name for name in sys.modules if name not in sys.stdlib_module_names and '.' not in name)
import gc, json, locale, os, resource, signal, threading, warnings
here = sys.modules['__main__']
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
frames = []
frame = sys._getframe()
while frame is not None:
    frames.append((frame.f_code.co_name, frame.f_code.co_filename))
    frame = frame.f_back
def describe(stream):
    return [stream.name, stream.mode, stream.encoding, stream.errors, stream.line_buffering, stream.write_through,
            type(stream.buffer).__name__, stream.isatty(), stream.seekable()]
print(json.dumps({
    'argv': sys.argv, 'orig_argv': sys.orig_argv, 'path': sys.path, 'flags': str(sys.flags), 'modules': modules,
    'xoptions': sys._xoptions, 'warnoptions': sys.warnoptions, 'executable': sys.executable, 'prefix': sys.prefix,
    'name': __name__, 'file': globals().get('__file__'), 'cached': globals().get('__cached__'),
    'package': __package__, 'doc': __doc__, 'spec': getattr(__spec__, 'name', None), 'main': sorted(vars(here)),
    'is_main': here.__dict__ is globals(), 'loader': type(__loader__).__name__, 'frames': frames,
    'env': {k: v for k, v in os.environ.items() if not k.startswith('PERDURE_')}, 'env_order': list(os.environ)[:2],
    'cwd': os.getcwd(), 'umask': status['Umask'].strip(), 'threads': status['Threads'].strip(),
    'blocked': status['SigBlk'], 'ignored': status['SigIgn'], 'caught': status['SigCgt'],
    'handlers': [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGIO)],
    'fds': sorted(os.listdir('/proc/self/fd')), 'stdin': os.readlink('/proc/self/fd/0'),
    'output': [os.path.basename(os.readlink(f'/proc/self/fd/{n}')) for n in (1, 2)],
    'session': os.getsid(0) == os.getpid(), 'group': os.getpgid(0) == os.getpid(), 'nice': os.nice(0),
    'limits': [resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_CORE)],
    'gc': [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), gc.get_debug()],
    'recursion': sys.getrecursionlimit(), 'switch': sys.getswitchinterval(), 'trace': str(sys.gettrace()),
    'hooks': [str(sys.excepthook is sys.__excepthook__), str(sys.displayhook is sys.__displayhook__)],
    'meta_path': [getattr(finder, '__name__', type(finder).__name__) for finder in sys.meta_path],
    'path_hooks': len(sys.path_hooks),
    'cache': [path for path in sys.path_importer_cache if path.endswith('/standby/site')],
    'filters': str(warnings.filters), 'once': str(warnings.onceregistry), 'bytecode': sys.dont_write_bytecode,
    'locale': locale.setlocale(locale.LC_ALL), 'encoding': sys.getfilesystemencoding(), 'threads_alive':
    [t.name for t in threading.enumerate()], 'stdout': describe(sys.stdout), 'stderr': describe(sys.stderr),
    'child': os.popen('"$0" -c "import sys; print(sys.path)"'.replace('$0', sys.executable)).read(),
    'registries': [n for n, m in sys.modules.items() if '__warningregistry__' in getattr(m, '__dict__', {})],
    'oom': open('/proc/self/oom_score_adj').read(), 'dumpable': 'standby' in str(sys.modules),
}, sort_keys=True))
"""

MODULE = """
import warnings
warnings.warn('seen by the standby')
ORDER = []
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """With a program in every form that Python runs, and an installed module that it imports."""
    work, installed = tmp_path / "work", tmp_path / "installed"
    (work / "folder").mkdir(parents=True)
    (work / "package").mkdir()
    installed.mkdir()
    for name in ("train.py", "folder/__main__.py", "package/train.py", "package/__main__.py"):
        (work / name).write_text(LOOK_AROUND)
    (work / "package" / "__init__.py").touch()
    (installed / "dependency.py").write_text(MODULE)
    yield tmp_path
    clear_standby(tmp_path / "standby")


PROGRAMS = [
    ("train.py",),
    ("train.py", "--steps", "3", "-m", ""),
    ("./train.py",),
    ("-u", "train.py"),
    ("-B", "-W", "ignore", "-X", "utf8", "train.py"),
    ("-O", "train.py"),
    ("-s", "-P", "train.py") if sys.version_info >= (3, 11) else ("-s", "train.py"),
    ("-m", "package", "--fast"),
    ("-m", "package.train"),
    ("-um", "train", "x"),
    ("folder",),
    ("-c", LOOK_AROUND, "a", "b"),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda words: " ".join(words)[:24])
def test_it_finds_all_as_in_a_fresh_interpreter(root: Path, program: tuple[str, ...]) -> None:
    fresh, early = run_both(root, python(*program), "json", "decimal")
    assert early.told == fresh.told
    assert (early.status, early.output.count("\n")) == (fresh.status, fresh.output.count("\n"))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('why')", 1),
        ("raise SystemExit", 0),
        ("def f():\n    raise ValueError('no')\nf()", 1),
        ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('x') from e", 1),
        ("import this_is_not_there", 1),
        ("x = = 1", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os\nprint('lost')\nos._exit(5)", 5),
        ("import sys\nprint('out')\nsys.stderr.write('err\\n')\nprint('out again')", 0),
        ("import atexit\natexit.register(print, 'bye')\nprint('hello')", 0),
        ("import threading\nthreading.Thread(target=lambda: 1 / 0).start()", 0),
        ("import faulthandler, os\nos.abort()", -signal.SIGABRT),
        ("import warnings\nimport warnings as w\nw.warn('a', stacklevel=2)\nw.warn('b')", 0),
        ("import sys\nsys.excepthook = lambda *x: print('hook', x[1])\nraise OSError('o')", 1),
    ],
)
@pytest.mark.parametrize("is_module", [False, True])
def test_it_ends_and_prints_as_a_fresh_interpreter(root: Path, code: str, status: int, *, is_module: bool) -> None:
    """Every byte, the traceback's frames included, in the same order."""
    (root / "work" / "end.py").write_text(code)
    command = python("-m", "end") if is_module else python("end.py")
    fresh, early = run_both(root, command, "decimal")
    assert early == fresh
    assert early.status == status


def test_a_program_with_a_first_line_that_names_python_can_have_one(root: Path) -> None:
    program = root / "work" / "launch"
    program.write_text(f"#!{sys.executable} -u\n{LOOK_AROUND}")
    program.chmod(0o755)
    fresh, early = run_both(root, ["./launch", "x"])
    assert early.told == fresh.told


def test_arguments_that_come_with_the_checkpoint_are_appended(root: Path) -> None:
    run(start_by_standby(root, python("train.py", "a"), extra=["--resume", "here"]))
    told = take_outcome(root, 2).told
    assert told["argv"] == ["train.py", "a", "--resume", "here"]
    assert told["orig_argv"][1:] == told["argv"]


def test_the_interpreters_own_sitecustomize_is_imported_as_ever(root: Path) -> None:
    """Once, and before all else; it is none of ours."""
    own = root / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys\nsys.own = getattr(sys, 'own', 0) + 1\n")
    program = "import sitecustomize, sys\nprint(sys.own, sitecustomize.__file__, sys.path)\n"
    (root / "work" / "own.py").write_text(program)
    fresh, early = run_both(root, python("own.py"), PYTHONPATH=str(own))
    assert early == fresh
    assert fresh.output.startswith(f"1 {own}")


# What it imports --------------------------------------------------------------------------------------------------


def write_program(root: Path, code: str) -> list[str]:
    (root / "work" / "program.py").write_text(code)
    return python("program.py")


def start_with_dependency(root: Path, command: list[str], change: object = None) -> str:
    """The output of an attempt whose standby had imported `dependency`; `change` is called while it waits."""
    installed = str(root / "installed")

    async def start() -> None:
        standby = await start_standby(make_standby_order(root, command, "dependency", PYTHONPATH=installed))
        if callable(change):
            change()
        attempt = make_attempt(root, 2, command)
        attempt.env["PYTHONPATH"] = installed
        await start_keeper(attempt, early=standby)

    run(start())
    return take_outcome(root, 2).output


IS_EARLY = "import sys\nearly = 'dependency' in sys.modules\nimport dependency\nprint(early, dependency.ORDER)\n"


def test_what_is_named_is_there_before_the_first_line(root: Path) -> None:
    assert start_with_dependency(root, write_program(root, IS_EARLY)) == "True []\n"


def test_warnings_that_it_saw_are_seen_again(root: Path) -> None:
    code = "import dependency, warnings\nfor _ in range(2): exec('warnings.warn(\"again\")', vars(dependency))\n"
    output = start_with_dependency(root, write_program(root, code))
    assert output.count("again") == 1


def test_a_module_that_has_changed_since_is_imported_as_it_is_now(root: Path) -> None:
    def change() -> None:
        new = root / "installed" / "new.py"
        new.write_text(MODULE.replace("[]", "['new']"))
        new.replace(root / "installed" / "dependency.py")

    assert start_with_dependency(root, write_program(root, IS_EARLY), change).endswith("False ['new']\n")


def test_a_module_of_the_programs_own_folder_comes_first(root: Path) -> None:
    (root / "work" / "dependency.py").write_text("ORDER = ['own']\n")
    assert start_with_dependency(root, write_program(root, IS_EARLY)) == "False ['own']\n"


def test_a_module_that_came_into_the_programs_folder_meanwhile_comes_first(root: Path) -> None:
    def change() -> None:
        (root / "work" / "dependency.py").write_text("ORDER = ['own']\n")

    assert start_with_dependency(root, write_program(root, IS_EARLY), change) == "False ['own']\n"


def test_a_workdir_that_was_replaced_is_the_one_it_runs_in(root: Path) -> None:
    def change() -> None:
        (root / "work").rename(root / "before")
        (root / "work").mkdir()
        write_program(root, "print('new')")

    assert start_with_dependency(root, write_program(root, "print('old')"), change) == "new\n"


def test_why_the_command_could_not_be_executed_anew_is_told_as_ever(root: Path) -> None:
    command = write_program(root, "print('old')")

    def change() -> None:
        (root / "work").rename(root / "before")

    installed = str(root / "installed")

    async def start() -> None:
        standby = await start_standby(make_standby_order(root, command, PYTHONPATH=installed))
        change()
        await start_keeper(make_attempt(root, 2, command), early=standby)

    run(start())
    exit = records.load_exit(root / "attempts" / "2")
    assert exit is not None
    assert exit.error is not None
    assert "its working directory" in exit.error


def test_a_module_that_cannot_be_imported_is_left_to_the_program(root: Path) -> None:
    (root / "installed" / "dependency.py").write_text("raise RuntimeError('not now')\n")
    code = "try:\n    import dependency\nexcept RuntimeError as error:\n    print(error)\n"
    assert start_with_dependency(root, write_program(root, code)) == "not now\n"
    assert "dependency could not be imported: RuntimeError: not now" in (root / "standby" / "standby.log").read_text()


def test_modules_are_imported_in_the_environment_in_which_they_were_before(root: Path) -> None:
    """A program may set what a module reads when it is imported."""
    (root / "installed" / "dependency.py").write_text("import os\nORDER = [os.environ.get('SET_BY_PROGRAM')]\n")
    command = write_program(root, "import os, dependency\nprint(dependency.ORDER, 'SET_BY_PROGRAM' in os.environ)\n")
    order = make_standby_order(root, command, "dependency", PYTHONPATH=str(root / "installed"))
    attempt = make_attempt(root, 2, command)

    async def start() -> None:
        standby = await start_standby(order._replace(environ={**order.env, "SET_BY_PROGRAM": "yes"}))
        await start_keeper(attempt, early=standby)

    run(start())
    assert take_outcome(root, 2).output == "['yes'] False\n"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import subprocess\nsubprocess.Popen(['sleep', '60'])", "starts processes"),
        ("import os\nos._exit(3)", "its process ended before it was needed"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "its process ended before it was needed"),
    ],
)
def test_modules_that_make_it_unfit_leave_the_job_without(root: Path, code: str, why: str) -> None:
    (root / "installed" / "dependency.py").write_text(code)
    order = make_standby_order(root, python("train.py"), "dependency", PYTHONPATH=str(root / "installed"))
    with pytest.raises(NoStandby, match=why):
        run(start_standby(order))
    wait_until(lambda: not is_locked(order.directory / records.LOCK), "its keeper ends")


# Who can have one -------------------------------------------------------------------------------------------------


def test_a_program_is_never_begun_to_find_out_whether_it_can_be_stopped(root: Path) -> None:
    """An interpreter that does not come by the gate would run it at once: a second writer."""
    wrapper = root / "work" / "python"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "$@"\n')
    wrapper.chmod(0o755)
    (root / "work" / "train.py").write_text("open('began', 'w')")
    with pytest.raises(NoStandby, match="cannot be stopped before the program"):
        run(start_standby(make_standby_order(root, ["./python", "train.py"])))
    assert not (root / "work" / "began").exists()


def test_an_interpreter_in_a_process_of_its_own_is_none(root: Path) -> None:
    """The attempt's leader would be another than the one that its keeper holds."""
    wrapper = root / "work" / "python"
    wrapper.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    with pytest.raises(NoStandby, match="a process of its own"):
        run(start_standby(make_standby_order(root, ["./python", "train.py"])))


@pytest.mark.parametrize("command", [["sh", "-c", "true"], ["./not-there"], python("-I", "train.py")])
def test_a_command_that_can_have_none_says_so(root: Path, command: list[str]) -> None:
    with pytest.raises(NoStandby):
        run(start_standby(make_standby_order(root, command)))


# How it ends ------------------------------------------------------------------------------------------------------


def find_keeper(root: Path) -> int:
    [waiting] = find_waiting(root)
    fields = Path(f"/proc/{waiting}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[1])


def test_it_runs_nothing_before_it_is_told_to_and_is_gone_when_it_is_not_wanted(root: Path) -> None:
    command = write_program(root, "open('began', 'w')")

    async def stand() -> None:
        standby = await start_standby(make_standby_order(root, command))
        assert standby.is_alive
        assert len(find_waiting(root)) == 1
        standby.end()

    run(stand())
    wait_until(lambda: not find_waiting(root), "the standby is gone")
    wait_until(lambda: not is_locked(root / "standby" / records.LOCK), "its keeper ends")
    assert not (root / "work" / "began").exists()


def test_it_is_the_same_process_that_becomes_the_attempt(root: Path) -> None:
    command = write_program(root, "import os\nprint(os.getpid())")

    async def start() -> int:
        standby = await start_standby(make_standby_order(root, command))
        [waiting] = find_waiting(root)
        await start_keeper(make_attempt(root, 2, command), early=standby)
        return waiting

    waiting = run(start())
    assert get_run(root / "attempts" / "2").leader.pid == waiting
    assert take_outcome(root, 2).output == f"{waiting}\n"


HANGS = "import time\ntime.sleep(600)"


@pytest.mark.parametrize("code", ["", HANGS], ids=["waiting", "importing"])
def test_it_does_not_outlive_its_keeper(root: Path, code: str) -> None:
    (root / "installed" / "dependency.py").write_text(code)
    order = make_standby_order(root, python("train.py"), "dependency", PYTHONPATH=str(root / "installed"))

    async def stand() -> None:
        starting = asyncio.create_task(start_standby(order))
        if code:
            await asyncio.to_thread(wait_until, lambda: is_importing(root), "it imports")
        else:
            await asyncio.wait([starting])
        os.kill(find_keeper(root), signal.SIGKILL)
        await asyncio.to_thread(wait_until, lambda: not find_waiting(root), "it is gone")
        for standby in await asyncio.gather(starting, return_exceptions=True):
            if isinstance(standby, Standby):
                standby.end()

    run(stand())


def is_importing(root: Path) -> bool:
    """It sleeps in the module, not at the gate."""
    try:
        return any("nanosleep" in Path(f"/proc/{pid}/wchan").read_text() for pid in find_waiting(root))
    except OSError:
        return False


def test_one_that_died_while_it_waited_leaves_an_attempt_that_starts_afresh(root: Path) -> None:
    command = write_program(root, "print('ran')")

    async def start() -> bool:
        standby = await start_standby(make_standby_order(root, command))
        os.kill(find_waiting(root)[0], signal.SIGKILL)
        return (await start_keeper(make_attempt(root, 2, command), early=standby)).stood_by

    assert run(start()) is False
    assert take_outcome(root, 2).output == "ran\n"


def test_a_keeper_that_died_with_it_leaves_an_attempt_that_starts_afresh(root: Path) -> None:
    command = write_program(root, "print('ran')")

    async def start() -> bool:
        standby = await start_standby(make_standby_order(root, command))
        os.kill(find_keeper(root), signal.SIGKILL)
        return (await start_keeper(make_attempt(root, 2, command), early=standby)).stood_by

    assert run(start()) is False
    assert take_outcome(root, 2).output == "ran\n"


def test_what_an_earlier_life_of_the_daemon_left_is_cleared_by_its_nonce(root: Path) -> None:
    """Such as one that hangs in an import in which no signal ends it, and whose keeper was killed."""
    (root / "installed" / "dependency.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGIO, signal.SIG_IGN)\ntime.sleep(600)"
    )
    order = make_standby_order(root, python("train.py"), "dependency", PYTHONPATH=str(root / "installed"))

    async def stand() -> int:
        starting = asyncio.create_task(start_standby(order))
        await asyncio.to_thread(wait_until, lambda: is_importing(root), "it imports")
        [waiting] = find_waiting(root)
        os.kill(find_keeper(root), signal.SIGKILL)
        await asyncio.gather(starting, return_exceptions=True)
        return waiting

    waiting = run(stand())
    assert is_alive(waiting)
    clear_standby(root / "standby")
    assert not is_alive(waiting)


def test_children_of_what_it_imports_know_nothing_of_it(root: Path) -> None:
    """They would stop at the gate as well, and for ever."""
    (root / "installed" / "dependency.py").write_text(
        "import json, os, subprocess, sys\n"
        "code = 'import json, os, sys; print(json.dumps([sys.path, sorted(os.environ)]))'\n"
        "ORDER = json.loads(subprocess.run([sys.executable, '-c', code], capture_output=True, check=True).stdout)\n"
    )
    command = write_program(root, "import json, dependency\nprint(json.dumps(dependency.ORDER))")
    output = start_with_dependency(root, command)
    path, names = json.loads(output)
    assert str(root / "standby" / "site") not in path
    assert "PERDURE_STANDBY" not in names
    assert MARK in names


def test_a_second_one_can_stand_by_while_the_first_runs(root: Path) -> None:
    command = write_program(root, "import time\nprint('runs', flush=True)\ntime.sleep(600)")
    order = make_standby_order(root, command)

    async def start() -> Standby:
        await start_keeper(make_attempt(root, 2, command), early=await start_standby(order))
        return await start_standby(order)

    async def check() -> None:
        second = await start()
        assert second.is_alive
        assert is_alive(get_run(root / "attempts" / "2").leader.pid)
        second.end()

    run(check())
    os.kill(get_run(root / "attempts" / "2").leader.pid, signal.SIGKILL)
    assert take_outcome(root, 2).output == "runs\n"
