"""Whom the system knows. To ask may take as long as a directory service takes to answer."""

from __future__ import annotations

import pwd

from perdured.core.account import Account
from perdured.errors import PerdureError


class NoAccount(PerdureError):
    """Nothing runs for somebody of whom neither the groups nor a home are known."""


def find_account(uid: int) -> Account:
    """Raises NoAccount."""
    try:
        found = pwd.getpwuid(uid)
    except (KeyError, OSError):
        raise say_no_account(uid) from None
    return Account(found.pw_uid, found.pw_gid, found.pw_name, found.pw_dir, found.pw_shell)


def say_no_account(uid: int) -> NoAccount:
    todo = "Give it an entry in /etc/passwd, or start a daemon of your own: perdured --socket S --state-dir D"
    return NoAccount(f"User {uid} has no account on this machine.", "A job runs in its groups.", todo)
