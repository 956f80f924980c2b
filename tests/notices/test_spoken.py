"""A signal says neither why nor how long."""

from __future__ import annotations

import asyncio

from perdured.core.notices.notice import Notice
from perdured.notices.spoken import GUESS, Spoken
from support.ears import Ear, listen, make_eyes


def hear(spoken: Spoken, *signals: str) -> tuple[Ear, tuple[Notice, ...]]:
    async def inside() -> tuple[Ear, tuple[Notice, ...]]:
        async with listen(spoken) as ear:
            await ear.wait(lambda report: not report.notices)
            for signal in signals:
                spoken.hear(signal)
            await ear.wait(lambda report: len(report.notices) == bool(signals))
            return ear, ear.reports[-1].notices

    return asyncio.run(inside())


def test_a_signal_is_a_notice_that_nobody_takes_back() -> None:
    _, (notice,) = hear(Spoken("signal", "SIGUSR1", None, make_eyes()), "SIGUSR1")
    assert (notice.kind, notice.sureness, notice.withdrawable) == ("terminate", "guess", False)
    assert notice.deadline == notice.received_at + GUESS


def test_a_second_signal_says_nothing_new() -> None:
    """And never shortens a save."""
    _, (notice,) = hear(Spoken("signal", "SIGUSR1", 60.0, make_eyes()), "SIGUSR1", "SIGUSR1")
    assert notice.deadline == notice.received_at + 60.0
    assert notice.sureness == "ceiling"


def test_a_pod_whose_grace_nobody_tells_is_blind() -> None:
    ear, _ = hear(Spoken("kubernetes", "SIGTERM", None, make_eyes()))
    assert (ear.reports[-1].status.state, "grace" in ear.reports[-1].status.why) == ("blind", True)
    ear, _ = hear(Spoken("kubernetes", "SIGTERM", 45.0, make_eyes()))
    assert ear.reports[-1].status.state == "works"


def test_another_pod_has_heard_nothing_and_another_daemon_goes_on_under_the_same_word() -> None:
    for name, is_whole in (("kubernetes", True), ("signal", False)):
        ear, _ = hear(Spoken(name, "SIGTERM", 45.0, make_eyes()))  # type: ignore[arg-type]
        assert ear.reports[-1].is_whole is is_whole
