"""Ways in which a checkpoint of `support.stores.commit` can be wrong."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from perdured.contract.checkpoint.layout import COMMIT, MANIFEST


@dataclass(frozen=True)
class Damage:
    """`file`: the one that a verdict must name."""

    name: str
    file: str
    apply: Callable[[Path], object]
    is_unknown: bool = False
    is_seen_without_hashes: bool = True


def seal(checkpoint: Path, commit: dict[str, object] | None = None, **changes: object) -> None:
    """Change fields of the manifest and make COMMIT fit it, as somebody who knows the format would."""
    fields = json.loads((checkpoint / MANIFEST).read_text()) | changes
    data = json.dumps(fields).encode()
    (checkpoint / MANIFEST).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    sealed = {"format": 1, "seq": fields["seq"], "manifest_sha256": digest} | (commit or {})
    (checkpoint / COMMIT).write_text(json.dumps(sealed) + "\n")


def _commit_without(key: str) -> Callable[[Path], object]:
    def apply(checkpoint: Path) -> None:
        fields = json.loads((checkpoint / COMMIT).read_text())
        del fields[key]
        (checkpoint / COMMIT).write_text(json.dumps(fields) + "\n")

    return apply


def _other_bytes(name: str) -> Callable[[Path], object]:
    def apply(checkpoint: Path) -> None:
        path = checkpoint / name
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))

    return apply


def _swap(checkpoint: Path) -> None:
    """Both files are there; each has the other's bytes, cut to its own size."""
    one, other = (checkpoint / "a.bin").read_bytes(), (checkpoint / "sub/b.bin").read_bytes()
    (checkpoint / "a.bin").write_bytes(other.ljust(len(one))[: len(one)])
    (checkpoint / "sub/b.bin").write_bytes(one[: len(other)])


def _zeros(checkpoint: Path) -> None:
    """As after a power cut without a sync: the right size, nothing in it."""
    (checkpoint / "a.bin").write_bytes(bytes(len((checkpoint / "a.bin").read_bytes())))


DAMAGES = [
    Damage("no COMMIT", COMMIT, lambda at: (at / COMMIT).unlink()),
    Damage("COMMIT is empty", COMMIT, lambda at: (at / COMMIT).write_bytes(b"")),
    Damage("COMMIT is garbage", COMMIT, lambda at: (at / COMMIT).write_bytes(bytes(range(256)))),
    Damage("COMMIT is a list", COMMIT, lambda at: (at / COMMIT).write_bytes(b"[]")),
    Damage("COMMIT is nested", COMMIT, lambda at: (at / COMMIT).write_bytes(b"[" * 4000)),
    Damage("COMMIT is long", COMMIT, lambda at: (at / COMMIT).write_bytes(b" " * 5000)),
    Damage("COMMIT without its format", COMMIT, _commit_without("format")),
    Damage("COMMIT without its number", COMMIT, _commit_without("seq")),
    Damage("COMMIT without the hash", COMMIT, _commit_without("manifest_sha256")),
    Damage("COMMIT with another number", COMMIT, lambda at: seal(at, {"seq": 2})),
    Damage("COMMIT with a number that is true", COMMIT, lambda at: seal(at, {"seq": True})),
    Damage("COMMIT with another hash", MANIFEST, lambda at: seal(at, {"manifest_sha256": "0" * 64})),
    Damage("COMMIT with half a hash", COMMIT, lambda at: seal(at, {"manifest_sha256": "0" * 32})),
    Damage("COMMIT of a newer format", COMMIT, lambda at: seal(at, {"format": 2}), is_unknown=True),
    Damage("COMMIT of format 0", COMMIT, lambda at: seal(at, {"format": 0})),
    Damage("no manifest", MANIFEST, lambda at: (at / MANIFEST).unlink()),
    Damage("manifest with other bytes", MANIFEST, _other_bytes(MANIFEST)),
    Damage("manifest of another step", MANIFEST, lambda at: seal(at, step=11)),
    Damage("manifest of another number", MANIFEST, lambda at: seal(at, seq=2)),
    Damage("manifest without files", MANIFEST, lambda at: seal(at, files=[])),
    Damage("manifest of a newer format", MANIFEST, lambda at: seal(at, format=2), is_unknown=True),
    Damage("manifest with unknown checksums", MANIFEST, lambda at: seal(at, algorithm="xxh3"), is_unknown=True),
    Damage("a file is missing", "a.bin", lambda at: (at / "a.bin").unlink()),
    Damage("a file below is missing", "sub/b.bin", lambda at: (at / "sub/b.bin").unlink()),
    Damage("a file is longer", "a.bin", lambda at: os.truncate(at / "a.bin", 100)),
    Damage("a file is shorter", "a.bin", lambda at: os.truncate(at / "a.bin", 3)),
    Damage("a file is empty", "sub/b.bin", lambda at: os.truncate(at / "sub/b.bin", 0)),
    Damage("a file is zeros", "a.bin", _zeros, is_seen_without_hashes=False),
    Damage("a file has other bytes", "a.bin", _other_bytes("a.bin"), is_seen_without_hashes=False),
    Damage("a file below has other bytes", "sub/b.bin", _other_bytes("sub/b.bin"), is_seen_without_hashes=False),
    Damage("two files are exchanged", "a.bin", _swap, is_seen_without_hashes=False),
    Damage("a file too many", "extra", lambda at: (at / "extra").touch()),
    Damage("a file too many below", "sub/extra", lambda at: (at / "sub/extra").touch()),
    Damage("a hidden file too many", ".extra", lambda at: (at / ".extra").touch()),
    Damage("an empty directory too many", "extra", lambda at: (at / "extra").mkdir()),
    Damage("a link too many", "extra", lambda at: (at / "extra").symlink_to("/")),
]
