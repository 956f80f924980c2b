"""A user as the system knows it, and the environment that begins a life of that user's: that of a login, no more.

Nothing of the environment of whoever starts it is in it. A job has besides what its submitter sent along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SEARCH = "/usr/local/bin:/usr/bin:/bin"
_OF_THE_MACHINE = ("LANG", "LC_ALL", "TZ")


class Account(NamedTuple):
    uid: int
    gid: int
    name: str
    home: str
    shell: str


def make_login_environment(account: Account, machine: Mapping[str, str]) -> dict[str, str]:
    """`machine`: an environment of which only the language and the time zone are taken over."""
    own = {
        "HOME": account.home or "/",
        "LOGNAME": account.name,
        "PATH": SEARCH,
        "SHELL": account.shell or "/bin/sh",
        "USER": account.name,
    }
    return own | {name: machine[name] for name in _OF_THE_MACHINE if name in machine}
