"""What was paused is paused after a restart of the daemon; a file that cannot be read pauses nothing and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.state.groups import load_paused, save_paused
from perdured.state.paths import StateDir


def test_what_was_paused_is_found_again(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert load_paused(state) == frozenset()
    save_paused(state, {"b", "a"})
    assert load_paused(state) == {"a", "b"}
    assert state.groups.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"paused": 3}', "\x00"])
def test_a_broken_file_pauses_nothing_and_is_told(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = StateDir(tmp_path)
    state.groups.write_text(content)
    assert load_paused(state) == frozenset()
    assert "no group is paused" in caplog.text
