"""Where the leases of a job lie, and their bases: below the URL that its hosts have joined."""

from __future__ import annotations

import re

_LEASE = re.compile(r"jobs/([A-Za-z0-9_-]{1,100})/lease/([0-9]{8})")
_BASE = re.compile(r"jobs/([A-Za-z0-9_-]{1,100})/base/([0-9]{8})")
_POSTING = re.compile(r"jobs/([A-Za-z0-9_-]{1,100})/JOB")


def format_posting(job: str) -> str:
    return f"jobs/{job}/JOB"


def format_lease(job: str, token: int) -> str:
    return f"jobs/{job}/lease/{token:08d}"


def format_base(job: str, token: int) -> str:
    return f"jobs/{job}/base/{token:08d}"


def parse_posting(key: str) -> str | None:
    """The job, of a key that `format_posting` makes."""
    match = _POSTING.fullmatch(key)
    return match[1] if match else None


def parse_lease(key: str) -> tuple[str, int] | None:
    """The job and the token."""
    match = _LEASE.fullmatch(key)
    return (match[1], int(match[2])) if match else None


def parse_base(key: str) -> tuple[str, int] | None:
    match = _BASE.fullmatch(key)
    return (match[1], int(match[2])) if match else None
