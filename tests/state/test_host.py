"""Which host this is: the same as long as its state directory and its boot are."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.keeper.identity import read_boot_id
from perdured.state.host import OtherFleet, join_again, take_host
from perdured.state.paths import StateDir


def test_a_state_directory_is_one_host_and_another_is_another(tmp_path: Path) -> None:
    first, second = StateDir(tmp_path / "a"), StateDir(tmp_path / "b")
    for state in (first, second):
        state.root.mkdir()
    assert take_host(first) == take_host(first)
    assert take_host(first).id != take_host(second).id
    assert take_host(first).boot == read_boot_id()


def test_an_id_that_cannot_be_read_makes_another_host(tmp_path: Path) -> None:
    """It waits for its own leases like everybody else."""
    state = StateDir(tmp_path)
    before = take_host(state)
    state.host.write_text("garbage")
    assert take_host(state).id != before.id


def test_what_has_joined_stays_so_and_joins_no_other_place(tmp_path: Path) -> None:
    """A daemon that forgot it would run jobs that others take over meanwhile."""
    state = StateDir(tmp_path)
    assert join_again(state, None) is None
    assert join_again(state, "s3://bucket/fleet") == "s3://bucket/fleet"
    assert join_again(state, None) == "s3://bucket/fleet"
    assert join_again(state, "s3://bucket/fleet/") == "s3://bucket/fleet/"
    with pytest.raises(OtherFleet, match="cannot join s3://bucket/other as well"):
        join_again(state, "s3://bucket/other")
    state.joined.write_text("garbage")
    with pytest.raises(OtherFleet, match="Nobody knows"):
        join_again(state, None)
    assert join_again(state, "s3://bucket/fleet") == "s3://bucket/fleet"
