"""The gate: where the interpreter of a standby stops, after it has come up and before the program's first line.

A standby is started with the very command of the job. Python imports the module `sitecustomize` at the end of its own
start, and this is the one that it finds, by PYTHONPATH. It imports what the next attempt will import, says `ready`,
and waits. At the word "go" it returns, and *the interpreter itself* goes on to run the program. So `__main__`,
`sys.argv`, `-m`, `-c`, tracebacks, buffers, exit status and all else are not imitated: they are Python's own.

Rules
-----
- Without the word the program does not run. Whatever goes wrong here ends the process, and so does the end of the
  gate, a socket to the keeper: while modules are imported by SIGIO, later by reading it.
- Nothing is used that a fresh interpreter would not have come to by itself. Modules of the program's own folder are
  never imported early. If an installed module has changed since, if the folder now has one of the same name, or if the
  working directory is another, the command is executed anew, in this process: slower, and right.
- What is left of the waiting is undone: environment, arguments, output, warnings that were seen, the way in.

    keeper ← here PID       before anything is imported
           ← ready          or: unfit WHY, and the process ends
    keeper → ARGC ENVC SIZE, and SIZE bytes: working directory, arguments, environment, each ended by NUL; with the
             descriptor of the output
           ← STAGE NUL ERRNO NUL TEXT     only if the command had to be executed anew and could not be
             (the end of the gate: the program runs)

Known limits. What a module does to its process when it is imported has been done early: a variable that it sets is
gone with the rest of the environment, warnings that it gives are in the standby's log. `sys.modules` holds what was
imported. The process is older than its program, for all who ask the kernel: start time, CPU time, `/proc/PID/environ`.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # the real one would bring `typing` along, which a fresh interpreter has not imported
if TYPE_CHECKING:
    from typing import Any, NoReturn

MARK = "PERDURE_STANDBY"
"""The variable with the number of the gate's descriptor, or with PROBE."""
PROBE = "probe"
PROBED = 87
"""Exit status of an interpreter that was only asked whether it comes by here."""
FAILED = 70
NAME = "sitecustomize"
FRESHNESS = "perdure_freshness"


def pass_the_gate() -> Exception | None:
    """Returns when the program may run, with what the import of the interpreter's own `sitecustomize` came to."""
    mark = os.environ.pop(MARK, None)
    if mark == PROBE:
        os._exit(PROBED)
    here = os.path.dirname(os.path.abspath(__file__))
    if mark is None:  # a child of something that was imported early
        _forget_the_way_in(here)
        return _import_the_real_one()
    try:
        return _wait(int(mark), here)
    except BaseException as error:  # noqa: BLE001 - nothing must lead from here into the program
        sys.stderr.write(f"perdure: standby: {type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(FAILED)


def _forget_the_way_in(here: str) -> None:
    """PYTHONPATH begins with this directory: for whoever is started from here on, it does not."""
    rest = os.environ.get("PYTHONPATH", "").partition(os.pathsep)[2]
    if rest:
        os.environ["PYTHONPATH"] = rest
    else:
        os.environ.pop("PYTHONPATH", None)
    sys.path[:] = [path for path in sys.path if path != here]
    sys.path_importer_cache.pop(here, None)


def _import_the_real_one() -> Exception | None:
    sys.modules.pop(NAME, None)
    try:
        __import__(NAME)
    except Exception as error:  # noqa: BLE001 - it is raised again at the end, and Python says what it has to say of it
        return error
    return None


def _wait(descriptor: int, here: str) -> Exception | None:
    """As `pass_the_gate`."""
    import _socket  # without what the module `socket` brings along

    os.set_inheritable(descriptor, False)
    gate = _socket.socket(fileno=descriptor)
    gate.sendall(b"here %d\n" % os.getpid())
    freshness: Any = __import__(FRESHNESS)
    sys.modules.pop(FRESHNESS)
    _forget_the_way_in(here)
    failure = _import_the_real_one()
    own = _list_own_variables()
    try:
        fresh = freshness.Freshness(here)
        words = fresh.prepare()
    except freshness.Unfit as unfit:
        gate.sendall(f"unfit {unfit}\n".encode("utf-8", "replace"))
        os._exit(FAILED)
    _end_the_watch(descriptor)
    gate.sendall(b"ready\n")
    go = _Go(gate)
    try:
        if not fresh.holds(go.workdir):
            _execute_anew(go, gate)
        _become(go, words, own)
    except Exception as error:  # noqa: BLE001 - the attempt shall not end for what its standby could not do
        sys.stderr.write(f"perdure: standby: executed anew: {type(error).__name__}: {error}\n")
        _execute_anew(go, gate)
    gate.close()
    return failure


def _list_own_variables() -> dict[str, str]:
    """What the interpreter has set by itself, such as a locale, and its own `sitecustomize`."""
    with open("/proc/self/environ", "rb") as file:
        given = {os.fsdecode(pair) for pair in file.read().split(b"\0")}
    return {k: v for k, v in os.environ.items() if f"{k}={v}" not in given and k != "PYTHONPATH"}


def _end_the_watch(descriptor: int) -> None:
    """From here on the gate is read; until now its end was a signal, which ends even an import that hangs."""
    import fcntl

    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_ASYNC)


# After ------------------------------------------------------------------------------------------------------------


class _Go:
    """What the attempt is to have. The end of the gate instead ends this process."""

    def __init__(self, gate: Any) -> None:
        data, rights, _, _ = gate.recvmsg(1 << 16, 64)
        if not data:
            os._exit(0)
        self.output = int.from_bytes(rights[0][2][:4], sys.byteorder)
        head, _, rest = data.partition(b"\n")
        arguments, variables, size = map(int, head.split())
        while len(rest) < size:
            more = gate.recv(1 << 16)
            if not more:
                os._exit(0)
            rest += more
        fields = [os.fsdecode(field) for field in rest.split(b"\0")]
        self.workdir = fields[0]
        self.argv = fields[1 : 1 + arguments]
        pairs = (field.partition("=") for field in fields[1 + arguments : 1 + arguments + variables])
        self.env = {name: value for name, _, value in pairs}


def _take_output(go: _Go) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    if go.output < 0:
        return
    os.dup2(go.output, 1)
    os.dup2(go.output, 2)
    os.close(go.output)
    go.output = -1


def _become(go: _Go, words: int, own: dict[str, str]) -> None:
    """`own` are the variables that this interpreter has set itself."""
    _take_output(go)
    os.environ.clear()
    os.environ.update({**go.env, **own})
    sys.argv.extend(go.argv[words:])
    if hasattr(sys, "orig_argv"):
        sys.orig_argv.extend(go.argv[words:])
    logging: Any = sys.modules.get("logging")
    if logging is not None:
        import time

        began = vars(logging).get("_startTime")  # records tell the time since then
        vars(logging)["_startTime"] = time.time_ns() if isinstance(began, int) else time.time()


def _execute_anew(go: _Go, gate: Any) -> NoReturn:
    """As the keeper would have."""
    stage = "workdir"
    _take_output(go)
    try:
        os.chdir(go.workdir)
        stage = "exec"
        os.execvpe(go.argv[0], go.argv, go.env)  # noqa: S606 - the user's command, and never through a shell
    except OSError as error:
        text = f"{stage}\0{error.errno or 0}\0{error.strerror or error}"
        gate.sendall(text.encode("utf-8", "replace"))
    os._exit(127)


if __name__ == NAME:
    failure = pass_the_gate()
    if failure is not None:
        raise failure
