"""The daemon's API for a program of the same machine: one short connection a call, over its unix socket.

Standard library only, and one connection a call: on a unix socket it costs less than keeping one alive and noticing
that the daemon was restarted meanwhile. Every failure is a `PerdureError` that says what to do.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast
from urllib.parse import quote, urlencode

from .contract import exits
from .contract.sockets import connect_unix
from .errors import BadUsage, NoDaemon, NoSuchJob, PerdureError, TimedOut
from .wire import (
    Checkpoint,
    Event,
    Events,
    Failure,
    Fleet,
    Gpu,
    Group,
    Health,
    Job,
    Log,
    Notices,
    Saving,
    Submitted,
    Wish,
)

ANSWER_WITHIN = 30.0
"""Seconds for one answer. A submit waits for several fsyncs, which a busy disk can stretch to seconds."""

_LEAVES: dict[int, type[PerdureError]] = {
    exits.BAD_USAGE: BadUsage,
    exits.NO_SUCH_JOB: NoSuchJob,
    exits.NO_DAEMON: NoDaemon,
    exits.TIMED_OUT: TimedOut,
}


class Client:
    def __init__(self, socket_path: Path, *, timeout: float = ANSWER_WITHIN) -> None:
        self._socket_path = socket_path
        self._timeout = timeout

    def health(self) -> Health:
        return cast(Health, self._call("GET", "/v1/health"))

    def show_notices(self) -> Notices:
        return cast(Notices, self._call("GET", "/v1/notices"))

    def approve_notice(self, id: str) -> Notices:
        return cast(Notices, self._call("POST", f"/v1/notices/{quote(id, safe='')}/approve"))

    def show_fleet(self) -> Fleet:
        return cast(Fleet, self._call("GET", "/v1/fleet"))

    def list_jobs(self, *, everything: bool = False) -> list[Job]:
        answer = self._call("GET", "/v1/jobs" + ("?all=1" if everything else ""))
        return cast("dict[str, list[Job]]", answer)["jobs"]

    def submit(self, spec: str, workdir: Path, env: Mapping[str, str]) -> Submitted:
        """Durable once this returns. Relative paths in the spec start at `workdir`, which is absolute."""
        body = {"spec": spec, "workdir": str(workdir), "env": dict(env)}
        return cast(Submitted, self._call("POST", "/v1/jobs", body))

    def submit_array(self, spec: str, workdir: Path, env: Mapping[str, str], array: str) -> list[Submitted]:
        """The same as many jobs: all of them durable once this returns."""
        body = {"spec": spec, "workdir": str(workdir), "env": dict(env), "array": array}
        answer = self._call("POST", "/v1/arrays", body, wait=ANSWER_WITHIN)
        return cast("dict[str, list[Submitted]]", answer)["jobs"]

    def list_groups(self) -> list[Group]:
        return cast("dict[str, list[Group]]", self._call("GET", "/v1/groups"))["groups"]

    def pause_group(self, group: str) -> Group:
        return cast(Group, self._call("POST", f"/v1/groups/{quote(group, safe='')}/pause"))

    def resume_group(self, group: str) -> Group:
        return cast(Group, self._call("POST", f"/v1/groups/{quote(group, safe='')}/resume"))

    def list_gpus(self) -> list[Gpu]:
        return cast("dict[str, list[Gpu]]", self._call("GET", "/v1/gpus"))["gpus"]

    def clear_gpu(self, ref: str) -> Gpu:
        """A UUID, or the beginning of one."""
        return cast(Gpu, self._call("POST", f"/v1/gpus/{quote(ref, safe='')}/clear"))

    def show(self, ref: str) -> Job:
        return cast(Job, self._call("GET", _path_of(ref)))

    def ask(self, ref: str, wish: Wish) -> Job:
        return cast(Job, self._call("POST", f"{_path_of(ref)}/{wish}"))

    def ask_save_before(self, ref: str, before: float) -> Saving:
        """A checkpoint that is durable before so many seconds are over, or none: `plan` says what will be done."""
        return cast(Saving, self._call("POST", f"{_path_of(ref)}/save?before={before:.12g}"))

    def remove(self, ref: str) -> Job:
        return cast(Job, self._call("DELETE", _path_of(ref)))

    def list_checkpoints(self, ref: str) -> list[Checkpoint]:
        """Newest first."""
        answer = self._call("GET", f"{_path_of(ref)}/checkpoints")
        return cast("dict[str, list[Checkpoint]]", answer)["checkpoints"]

    def list_logs(self, ref: str) -> list[Log]:
        return cast("list[Log]", self._call("GET", f"{_path_of(ref)}/logs"))

    def read_log(self, ref: str, attempt: int, offset: int) -> bytes:
        """Some bytes of the attempt's output from `offset` on; none at its present end."""
        return self._send("GET", f"{_path_of(ref)}/logs/{attempt}?offset={offset}", None, 0.0)

    def list_events(self, after: int, ref: str | None = None, *, wait: float = 0.0) -> Events:
        """Events with a greater `seq` than `after`; with none there yet, waits up to `wait` seconds for the first."""
        query = {"after": str(after), "wait": f"{wait:g}"} | ({"job": ref} if ref else {})
        return cast(Events, self._call("GET", f"/v1/events?{urlencode(query)}", wait=wait))

    def list_all_events(self, ref: str | None = None) -> tuple[list[Event], int]:
        """Everything that happened so far, and what to ask with as `after` for what comes next."""
        found: list[Event] = []
        page = self.list_events(0, ref)
        while page["events"]:
            found += page["events"]
            page = self.list_events(page["next"], ref)
        return found, page["next"]

    def _call(self, method: str, path: str, body: object = None, wait: float = 0.0) -> object:
        answer = self._send(method, path, body, wait)
        try:
            return json.loads(answer)
        except ValueError:
            raise _not_perdure(self._socket_path) from None

    def _send(self, method: str, path: str, body: object, wait: float) -> bytes:
        connection = _UnixConnection(self._socket_path, self._timeout + wait)
        data = None if body is None else json.dumps(body).encode()
        try:
            with contextlib.suppress(BrokenPipeError):  # it hung up before it heard us, and has said why
                connection.request(method, path, data, {"Content-Type": "application/json", "Connection": "close"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise explain_no_daemon(self._socket_path, error) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise _failure(content) or _not_perdure(self._socket_path)
        return content


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self._limit = timeout

    def connect(self) -> None:
        self.sock = connect_unix(self._path, self._limit)


def _path_of(ref: str) -> str:
    if not ref or "/" in ref:
        raise NoSuchJob(f"No job is called {ref!r}.", "Names and ids have no slash in them.", "See `perdure ps --all`.")
    return f"/v1/jobs/{quote(ref, safe='')}"


def _failure(content: bytes) -> PerdureError | None:
    try:
        told = cast(Failure, json.loads(content)["error"])
        return make_error(told)
    except (ValueError, KeyError, TypeError):
        return None


def make_error(told: Failure) -> PerdureError:
    """The exception that the daemon told of."""
    leaf = _LEAVES.get(told["exit_status"], PerdureError)
    return leaf(told["what"], told["why"], told["todo"])


def _not_perdure(path: Path) -> PerdureError:
    return PerdureError(
        f"What answered on {path} is no Perdure daemon.",
        "The answer could not be understood; perhaps another program listens there.",
        "Choose the daemon's socket with --socket or PERDURE_SOCKET_PATH.",
    )


def explain_no_daemon(path: Path, error: Exception) -> NoDaemon:
    """Why nobody answered, in words, and how to start a daemon."""
    if isinstance(error, PermissionError):
        todo = "Run this as that user, or start a daemon of your own with `perdured &`."
        return NoDaemon(f"The daemon on {path} is not yours.", "The socket belongs to another user.", todo)
    if isinstance(error, TimeoutError):
        todo = "Look at the daemon's log; `perdured` can be killed and started again without harm to running jobs."
        return NoDaemon(f"The daemon on {path} does not answer.", "It took the connection and said nothing.", todo)
    if isinstance(error, FileNotFoundError):
        why = "The socket does not exist."
    elif isinstance(error, ConnectionRefusedError):
        why = "The socket is there, but nobody listens on it any more."
    else:
        why = f"The connection broke: {str(error) or type(error).__name__}."
    return NoDaemon(f"No daemon answers on {path}.", why, _how_to_start())


def _how_to_start() -> str:
    service = "systemctl start perdured" if os.geteuid() == 0 else "systemctl --user start perdured"
    return f"Start one with `perdured &` or `{service}`, or supervise a job without one: `perdure run`."
