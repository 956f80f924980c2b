"""What is learned from the windows of notices: which broke, and how long that is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.core.windows import GRAIN, REMEMBERED, Life, Window, find_share, judge_window, learn
from support.jobs import NOW
from support.notices import make_notice


def window(kept: float, promised: float = 120.0, source: str = "aws") -> Window:
    return Window(source=source, promised=promised, kept=kept)


@pytest.mark.parametrize(
    ("alive_for", "share"), [(120.0, 1.0), (150.0, 1.0), (120.0 - GRAIN, 1.0), (30.0, 0.25), (-5.0, 0.0)]
)
def test_a_window_broke_if_the_machine_was_gone_before_its_end(alive_for: float, share: float) -> None:
    judged = judge_window(Life(make_notice(120.0), NOW + alive_for))
    assert judged is not None
    assert judged.share == pytest.approx(share)


def test_a_notice_without_a_window_teaches_nothing() -> None:
    assert judge_window(Life(make_notice(None, follows="perhaps"), NOW)) is None
    assert judge_window(Life(make_notice(0.0), NOW)) is None


def test_the_worst_of_a_source_counts_and_of_no_other() -> None:
    windows = learn((), [window(120.0), window(30.0), window(60.0), window(9.0, 30.0, "azure")])
    assert (find_share(windows, "aws"), find_share(windows, "azure"), find_share(windows, "gcp")) == (0.25, 0.3, 1.0)


def test_a_broken_window_is_forgotten_once_enough_were_kept() -> None:
    windows = learn((), [window(30.0)])
    for _ in range(REMEMBERED - 1):
        windows = learn(windows, [window(120.0)])
        assert find_share(windows, "aws") == 0.25
    assert find_share(learn(windows, [window(120.0)]), "aws") == 1.0


@given(st.lists(st.tuples(st.sampled_from(["aws", "gcp"]), st.floats(0, 120)), max_size=60))
def test_no_more_is_kept_than_is_remembered(seen: list[tuple[str, float]]) -> None:
    windows: tuple[Window, ...] = ()
    for source, kept in seen:
        windows = learn(windows, [window(kept, source=source)])
    assert all(sum(w.source == source for w in windows) <= REMEMBERED for source in ("aws", "gcp"))
    assert [w for w in windows if w.source == "aws"] == [window(k) for s, k in seen if s == "aws"][-REMEMBERED:]
