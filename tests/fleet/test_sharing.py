"""Which jobs hosts share: those whose checkpoints all of them can be expected to find."""

from __future__ import annotations

import pytest

from perdured.supervise.fleet import is_shared


@pytest.mark.parametrize(
    ("remote", "url", "shared"),
    [
        (None, "s3://bucket/fleet", False),
        ("s3://bucket/run", "s3://bucket/fleet", True),
        ("gs://other/run", "s3://bucket/fleet", True),
        ("file:///mnt/run", "s3://bucket/fleet", False),
        ("file:///mnt/run", "file:///mnt/fleet", True),
    ],
)
def test_a_job_is_shared_where_its_remote_is_not_on_one_hosts_disk(remote: str | None, url: str, shared: bool) -> None:
    """Another host would find no checkpoint there, and begin at step 0."""
    assert is_shared(remote, url) == shared
