"""What a listing of the bucket means."""

from __future__ import annotations

import json

import pytest

from perdured.core.lease import Host, Lease
from perdured.fleet.notes import choose_keys, read_chains
from perdured.remote.chain import format_base, format_lease, format_posting

LEASE = Lease(host=Host(id="a", boot="1"), state="held", lasts=60.0, nonce="n")


def test_of_each_job_the_newest_two_leases_and_what_is_to_run_are_read() -> None:
    keys = [format_lease("job", token) for token in (1, 2, 10, 9)]
    keys += [format_posting("job"), format_base("job", 10), "jobs/job/other", "notes.txt", format_lease("b", 1)]
    chosen = choose_keys(dict.fromkeys(keys))
    assert chosen == [*(format_lease("job", token) for token in (10, 9)), format_posting("job"), format_lease("b", 1)]


def test_the_highest_token_is_the_lease_and_the_next_the_one_before() -> None:
    texts = {format_lease("job", token): LEASE.model_dump_json() for token in (10, 9)}
    seen = read_chains(texts | {format_posting("job"): "{}"})["job"]
    assert seen.newest is not None
    assert seen.before is not None
    assert (seen.newest.token, seen.before.token) == (10, 9)


def test_nothing_is_concluded_from_a_lease_that_nobody_understands() -> None:
    with pytest.raises(ValueError, match="Lease"):
        read_chains({format_lease("job", 1): json.dumps({"format": 1})})
