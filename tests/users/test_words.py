"""What the machine's daemon hears from a deputy is a stranger's word."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from perdured.core.queue.amounts import Amounts
from perdured.core.queue.machine import Share
from perdured.core.queue.shares import Stand
from perdured.users import words
from perdured.users.shares import describe_share, describe_stand, parse_share, parse_stand

Pair = tuple[socket.socket, socket.socket]
STAND = Stand(Share(Amounts(2, 4, 1 << 40, 1), frozenset({"GPU-a"})), Amounts(1, 8))


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for end in (ours, theirs):
            end.setblocking(False)
        yield ours, theirs


def test_a_stand_and_a_share_come_over_as_they_were(pair: Pair) -> None:
    ours, theirs = pair
    assert words.say(theirs, words.STAND, describe_stand(STAND, 3))
    message = words.hear(ours)
    assert message is not None
    assert (parse_stand(message), message["seen"]) == (STAND, 3)
    assert parse_share(json.loads(json.dumps(describe_share(STAND.keeps)))) == STAND.keeps


@pytest.mark.parametrize(
    "packet",
    [b"x", b"[]", b"1", b'{"type": 1}', b"{}", b"[" * 60000, b"\xff", b'{"type": "stand"'],
)
def test_what_makes_no_sense_is_an_error_and_no_more(pair: Pair, packet: bytes) -> None:
    pair[1].send(packet)
    with pytest.raises(ValueError, match=r"."):
        words.hear(pair[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"keeps": {"amounts": [1, 1, 1, -1], "gpus": []}},
        {"keeps": {"amounts": [1, 1, 1], "gpus": []}},
        {"keeps": {"amounts": [1, 1, 1, float("inf")], "gpus": []}},
        {"keeps": {"amounts": [1, 1, 1, float("nan")], "gpus": []}},
        {"keeps": {"amounts": [1, 1, 1, 10**400], "gpus": []}},
        {"keeps": {"amounts": "1111", "gpus": "GPU-a"}},
        {"keeps": {"amounts": [0, 0, 0, 0], "gpus": [1]}},
        {"keeps": {"amounts": [0, 0, 0, 0], "gpus": ["x"] * 2000}},
        {"keeps": []},
        {"wants": [None] * 4},
        {"wants": None},
    ],
)
def test_an_impossible_stand_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, OverflowError)):
        parse_stand({**describe_stand(STAND, 0), **wrong})


def test_a_descriptor_goes_over_to_the_deputy_and_none_comes_back(pair: Pair) -> None:
    ours, theirs = pair
    read, write = os.pipe()
    try:
        words.say(ours, words.CONNECTED, descriptor=write)
        message, descriptor = words.hear_with_descriptor(theirs)
        assert message is not None
        assert descriptor is not None
        os.write(descriptor, b"x")
        os.close(descriptor)
        assert os.read(read, 1) == b"x"
        before = os.listdir("/proc/self/fd")
        words.say(theirs, words.READY, descriptor=read)
        assert words.hear(ours) == {"type": words.READY}
        assert os.listdir("/proc/self/fd") == before
    finally:
        os.close(read)
        os.close(write)


def test_nobody_waits_for_a_side_that_does_not_read(pair: Pair) -> None:
    said = 0
    while words.say(pair[0], words.ALL):
        said += 1
        assert said < 100_000
    pair[1].close()
    assert not words.say(pair[0], words.ALL)
    assert words.hear(pair[0]) is None
