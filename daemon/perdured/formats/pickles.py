"""The plain values in a pickle, in order, without running any of it: texts, numbers and the names of classes.

A pickle is a program; executing one of somebody else's is executing what they like. `pickletools.genops` only reads the
opcodes. Values that the pickle mentions again through its memo come again here.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Iterator
from typing import BinaryIO

PERSISTENT = object()
"""Stands where the pickle refers to something outside itself: in torch's files, a storage."""
_OTHER = object()
_PLAIN = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "INT", "BININT", "BININT1", "BININT2"} | {
    "LONG",
    "LONG1",
    "LONG4",
    "GLOBAL",
}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}


def read_values(file: BinaryIO) -> list[object]:
    """Up to the end of one pickle, where the file is left. Errors: ValueError for what is no pickle."""
    try:
        return list(_walk(file))
    except (MemoryError, OverflowError, struct.error) as error:  # a length in it that is none
        raise ValueError("no pickle") from error


def _walk(file: BinaryIO) -> Iterator[object]:
    memo: dict[int, object] = {}
    last: object = _OTHER
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in _PUT:
            memo[int(str(argument))] = last
            continue
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = last
            continue
        last = _OTHER
        if opcode.name in _GET:
            last = memo.get(int(str(argument)), _OTHER)
        elif opcode.name in _PLAIN:
            last = argument
        elif opcode.name == "BINPERSID":
            yield PERSISTENT
        if last is not _OTHER:
            yield last
