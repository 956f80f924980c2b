"""Who is served by which daemon. It is decided once for a connection, by the kernel's word about who made it, and for
every request on it: no verb has a rule of its own, so none can lack one.

A daemon holds the jobs of one user and of nobody else. It answers that user, and root, who may do everything anyway.
Where one daemon serves all users of a machine it runs as root, holds the jobs of root alone, and hands the connection
of anybody else over to that user's deputy: a daemon of the same kind, with that user's identity and jobs.
"""

from __future__ import annotations

from typing import Literal

RunAs = Literal["submitter", "daemon"]
"""
submitter  each job runs as the user who submitted it; for that the daemon has to be root's
daemon     each job runs as the user of the daemon, who alone may submit
"""
Access = Literal["serve", "hand_over", "refuse"]

ROOT = 0
NOBODY = 65534
"""Whom the kernel names for all whom it cannot: everybody from outside a user namespace. Many, so it is no user."""


def decide_access(peer: int, own: int, run_as: RunAs) -> Access:
    """By the user ids of who connected and of the daemon that was connected to."""
    if peer in (ROOT, own):
        return "serve"
    return "hand_over" if run_as == "submitter" and own == ROOT and peer != NOBODY else "refuse"
