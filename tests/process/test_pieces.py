"""The keeper's pure parts: values in, values out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perdured
from perdured.contract.cgroups import parse_cgroups
from perdured.keeper import cgroup, talk
from perdured.keeper.cgroup import limit_memory, read_oom_kills
from perdured.keeper.identity import Identity, parse_stat
from perdured.keeper.loop import READ, Loop, read_clock
from perdured.keeper.records import (
    ExitRecord,
    RunRecord,
    StopRecord,
    Usage,
    Want,
    load_exit,
    load_run,
    load_stop,
    load_want,
    save_exit,
    save_run,
    save_stop,
    save_want,
    take,
    take_optional,
)

STAT = "7 ({name}) {state} 3 7 7 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 4711 1000 200"


@pytest.mark.parametrize("name", ["python", "a b", "x) R 9", ") Z 1 (", "(((", ""])
def test_a_name_with_blanks_and_brackets_does_not_mislead(name: str) -> None:
    seen = parse_stat(STAT.format(name=name, state="S"))
    assert (seen.state, seen.parent, seen.start_time, seen.is_alive) == ("S", 3, 4711, True)


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_zombie_is_not_alive(state: str) -> None:
    assert not parse_stat(STAT.format(name="x", state=state)).is_alive


def test_cgroups_of_a_hybrid_host_are_told_apart() -> None:
    text = "9:name=systemd:/\n4:memory:/box\n2:cpu,cpuacct:/c\n0::/user/x:y\n"
    expected = {"name=systemd": "", "memory": "box", "cpu": "c", "cpuacct": "c", "": "user/x:y"}
    assert parse_cgroups(text) == expected


def test_the_counter_of_memory_kills_never_falls() -> None:
    first, second = read_oom_kills(), read_oom_kills()
    assert (first is None) == (second is None)
    assert first is None or second is None or 0 <= first <= second


# Records ---------------------------------------------------------------------------------------------------------

WANT = Want("job", 3, "nonce", ("python", "-c", "x"), {"A": "ü", "B": "\udcff"}, "/w", 15, 120.0, None)
RUN = RunRecord(Identity(1, 2, "boot"), Identity(3, 4, "boot"), 5.5, "/sys/fs/cgroup/x")
STOP = StopRecord("preempted", 15, 30.0, 1.0, 2.0)
EXIT = ExitRecord("exited", 1.5, 2.5, exit_code=0, raw_status=0, oom_kills=1, usage=Usage(1.0, 2.0, 3), step=4)


def test_records_come_back_as_they_were_saved(tmp_path: Path) -> None:
    """Bytes of the environment that are no UTF-8 included."""
    save_want(tmp_path, WANT)
    save_run(tmp_path, RUN)
    save_stop(tmp_path, STOP)
    save_exit(tmp_path, EXIT)
    assert (load_want(tmp_path), load_run(tmp_path)) == (WANT, RUN)
    assert (load_stop(tmp_path), load_exit(tmp_path)) == (STOP, EXIT)


def test_records_that_are_not_there_are_none_but_for_the_want(tmp_path: Path) -> None:
    assert (load_run(tmp_path), load_stop(tmp_path), load_exit(tmp_path)) == (None, None, None)
    with pytest.raises(FileNotFoundError):
        load_want(tmp_path)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [], {}])
def test_only_an_int_is_an_int(value: object) -> None:
    with pytest.raises(ValueError, match="key must be of kind int"):
        take({"key": value}, "key", int)


def test_an_int_will_do_for_a_float_and_null_for_nothing() -> None:
    assert take({"key": 1}, "key", float) == 1.0
    assert take_optional({"key": None}, "key", float) is None
    with pytest.raises(ValueError, match="bool"):
        take({"key": 1}, "key", bool)


# Talk ------------------------------------------------------------------------------------------------------------


@given(
    graces=st.lists(st.floats(0, 1e6), min_size=1),
    gaps=st.lists(st.floats(0, 1e4), min_size=30, max_size=30),
)
def test_no_further_stop_ever_moves_the_deadline_back(graces: list[float], gaps: list[float]) -> None:
    now, stop = 1000.0, None
    deadlines = []
    for grace, gap in zip(graces, gaps, strict=False):
        now += gap
        stop = talk.decide_stop(stop, talk.StopAsked(f"{grace}", 15, grace), now, wall=0.0)
        deadlines.append(stop.deadline)
        assert stop.deadline <= now + grace
    assert deadlines == sorted(deadlines, reverse=True)
    assert stop is not None
    assert stop.reason == f"{graces[0]}"


@pytest.mark.parametrize(
    "message", [{"type": "progress", "step": 2}, {"type": "checkpoint", "step": 2, "path": "/c"}], ids=["p", "c"]
)
def test_one_who_trains_on_is_not_saving_any_more_but_only_for_itself(message: dict[str, object]) -> None:
    saving = talk.hear_job(talk.Told(), {"type": "saving"}, 1, 5.0)
    assert saving.saving_by == 1
    assert talk.hear_job(saving, message, 1, 5.0).saving_by is None
    assert talk.hear_job(saving, message, 2, 5.0).saving_by == 1


@given(st.binary(max_size=200))
def test_whatever_bytes_come_a_line_is_a_message_or_a_value_error(line: bytes) -> None:
    try:
        message = talk.parse_line(line)
    except ValueError:
        return
    assert isinstance(message["type"], str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WORDS = "step loss total path reason grace signal nonce role epoch at finite name"
KEYS = st.sampled_from(WORDS.split())
TYPES = st.sampled_from(["hello", "progress", "saving", "checkpoint", "phase", "stacks", "save", "stop", "new"])


@given(TYPES, st.dictionaries(KEYS, JSON))
def test_whatever_a_message_holds_it_is_understood_or_a_value_error(kind: str, rest: dict[str, object]) -> None:
    message = {"type": kind, **rest}
    for understand in (
        lambda: talk.hear_job(talk.Told(), message, 1, 5.0),
        lambda: talk.parse_hello(message, "nonce"),
        lambda: talk.parse_stop(message, 15),
    ):
        try:
            value = understand()
        except ValueError:
            continue
        if isinstance(value, talk.Told):
            status = talk.parse_line(talk.format_status(talk.Situation("n", RUN, value, None, None, 5.0, 0.0, None)))
            assert status["type"] == "status"


# Loop ------------------------------------------------------------------------------------------------------------


def test_timers_come_in_order_and_a_second_call_replaces_the_first() -> None:
    loop, called, now = Loop(), list[str](), read_clock()
    loop.call_at("b", now + 0.002, lambda: called.append("b"))
    loop.call_at("a", now + 9, lambda: called.append("never"))
    loop.call_at("a", now + 0.001, lambda: called.append("a"))
    loop.call_at("end", now + 0.003, loop.stop)
    loop.call_at("cancelled", now, lambda: called.append("cancelled"))
    loop.cancel("cancelled")
    loop.run()
    loop.close()
    assert called == ["a", "b"]


def test_a_timer_may_cancel_one_that_is_due_with_it() -> None:
    loop, called = Loop(), list[str]()
    loop.call_at("first", 0.0, lambda: loop.cancel("second"))
    loop.call_at("second", 1e-9, lambda: called.append("second"))
    loop.call_at("end", read_clock(), loop.stop)
    loop.run()
    loop.close()
    assert called == []


def test_a_callback_may_forget_a_descriptor_that_is_ready_with_it() -> None:
    loop, called = Loop(), list[int]()
    pipes = [os.pipe(), os.pipe()]

    def take_first(fd: int) -> None:
        called.append(fd)
        for read, _ in pipes:
            loop.forget(read)
        loop.stop()

    for read, write in pipes:
        os.write(write, b"x")
        loop.watch(read, READ, lambda _, read=read: take_first(read))  # type: ignore[misc]
    loop.run()
    loop.close()
    for pipe in pipes:
        for fd in pipe:
            os.close(fd)
    assert len(called) == 1


# Footprint -------------------------------------------------------------------------------------------------------


def test_the_keeper_rests_on_the_standard_library_and_the_contract_alone() -> None:
    root = Path(perdured.__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); import perdured.keeper.main; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    strangers = {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names}
    assert {name for name in strangers if not name.startswith(("perdured.keeper", "perdured.contract"))} == {
        "__main__",
        "perdured",
    }
    heavy = {"asyncio", "subprocess", "logging", "dataclasses", "inspect", "random", "secrets", "threading", "email"}
    assert not heavy & set(loaded), "each costs every attempt time and memory"


@pytest.mark.parametrize("kind", ["progress", "checkpoint"])
def test_a_step_beyond_64_bits_is_refused_as_nobody_could_read_its_record_again(kind: str) -> None:
    message: dict[str, object] = {"type": kind, "step": 10**24, "path": "/x"}
    with pytest.raises(ValueError, match="too large"):
        talk.hear_job(talk.Told(), message, 1, 5.0)
    assert talk.hear_job(talk.Told(), {**message, "step": 2**63 - 1}, 1, 5.0) != talk.Told()


def test_memory_is_limited_where_the_leaf_has_the_controller_and_else_that_is_said(tmp_path: Path) -> None:
    assert not limit_memory(str(tmp_path), 1 << 30)
    (tmp_path / "memory.max").write_text("max")
    assert limit_memory(str(tmp_path), 1 << 30)
    assert (tmp_path / "memory.max").read_text().startswith(str(1 << 30))


def test_the_lowest_limit_of_memory_above_a_process_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    for place, limit in ((tmp_path, "5\n"), (inner.parent, "900\n"), (inner, "max\n")):
        (place / "cgroup.procs").touch()
        (place / "memory.max").write_text(limit)
    monkeypatch.setattr(cgroup, "_MEMORY_LIMITS", [(str(tmp_path), "", "memory.max")])
    monkeypatch.setattr(cgroup, "parse_cgroups", lambda _text: {"": "outer/inner"})
    assert cgroup.read_memory_limit(os.getpid()) == 900
    assert cgroup.read_memory_limit(2**22 + 1) is None
