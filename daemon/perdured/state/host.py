"""Which host this is, among those that have joined one bucket: a state directory, in one boot of its machine."""

from __future__ import annotations

import secrets
import socket

from perdured.contract import exits
from perdured.contract.durable import load_json, write_file
from perdured.core.lease import Host
from perdured.core.value import Value
from perdured.errors import PerdureError
from perdured.keeper.identity import read_boot_id

from .paths import StateDir


class OtherFleet(PerdureError):
    """The jobs of this state directory may be taken over by hosts that are not told of."""

    exit_status = exits.BAD_USAGE


class _Id(Value):
    id: str


class _Joined(Value):
    url: str


def take_host(state: StateDir) -> Host:
    """Made up at the first call. One that cannot be read is made anew: then this is another host."""
    try:
        id = _Id.model_validate(load_json(state.host)).id
    except (OSError, ValueError):
        id = secrets.token_hex(8)
        write_file(state.host, _Id(id=id).model_dump_json().encode(), mode=0o600)
    return Host(id=id, boot=read_boot_id(), name=socket.gethostname())


def join_again(state: StateDir, url: str | None) -> str | None:
    """What this state directory has joined, from now on or since long: a daemon that forgot it would run jobs that
    other hosts take over meanwhile. Raises OtherFleet where it is to be another place."""
    before = _load_joined(state, url)
    if before is None and url is not None:
        write_file(state.joined, _Joined(url=url).model_dump_json().encode(), mode=0o600)
    if before is not None and url is not None and url.rstrip("/") != before.rstrip("/"):
        raise OtherFleet(
            f"This state directory ({state.root}) has joined {before}, and cannot join {url} as well.",
            "Hosts that joined the other place take over its jobs, so they would run twice.",
            "Join that one, or choose another state directory with --state-dir.",
        )
    return url or before


def _load_joined(state: StateDir, url: str | None) -> str | None:
    try:
        return _Joined.model_validate(load_json(state.joined)).url
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if url is not None:
            return None
        why = f"{state.joined} cannot be read: {error}."
        raise OtherFleet("Nobody knows what this state directory has joined.", why, "Say it: --join URL") from None
