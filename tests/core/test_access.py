"""Who is served by which daemon: the whole table."""

from __future__ import annotations

import pytest

from perdured.core.access import Access, RunAs, decide_access

ADA, BEA, NOBODY = 1001, 1002, 65534


@pytest.mark.parametrize(
    ("peer", "own", "run_as", "access"),
    [
        (0, 0, "submitter", "serve"),
        (ADA, 0, "submitter", "hand_over"),
        (NOBODY, 0, "submitter", "refuse"),
        (0, 0, "daemon", "serve"),
        (ADA, 0, "daemon", "refuse"),
        (ADA, ADA, "daemon", "serve"),
        (0, ADA, "daemon", "serve"),
        (BEA, ADA, "daemon", "refuse"),
        (BEA, ADA, "submitter", "refuse"),
    ],
)
def test_a_user_is_served_by_the_own_daemon_and_root_by_every_one(
    peer: int, own: int, run_as: RunAs, access: Access
) -> None:
    assert decide_access(peer, own, run_as) == access


@pytest.mark.parametrize("run_as", ["submitter", "daemon"])
@pytest.mark.parametrize("own", [0, ADA])
def test_nobody_but_root_and_the_owner_is_ever_served(own: int, run_as: RunAs) -> None:
    served = {peer for peer in (0, ADA, BEA, NOBODY) if decide_access(peer, own, run_as) == "serve"}
    assert served == {0, own}
