"""Whatever the moment of a power cut, and whatever the file system then shows, the next start finds a whole checkpoint.

Each scenario is run once on a real directory with its system calls recorded; then every state of the pessimistic
model (`support.crashes`) after each call is put on a disk and read with the real reader. `test_mutants.py` takes one
rule after the other out of the code and sees these same checks fail.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.scenarios import SCENARIOS, Judge, Scenario, find_violations, record


@pytest.mark.parametrize("torn", [False, True], ids=["journalled", "torn"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_state_after_every_call_is_safe(scenario: Scenario, torn: bool, tmp_path: Path, judge: Judge) -> None:
    """See `support.scenarios` for what must hold in each."""
    recorded = record(scenario, tmp_path / "base")
    assert not list(find_violations(scenario, recorded, judge, torn=torn))
    assert recorded.states > len(recorded.calls)  # the model found more than one outcome a call
