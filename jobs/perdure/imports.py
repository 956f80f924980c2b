"""Writes down what this process has imported, so that the standby of the next attempt can do it before.

Only what is installed counts: the standard library, site-packages, and Perdure itself. Modules of the program's own may
have changed by then, and are imported when their time comes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import perdured.contract
from perdured.contract import environment
from perdured.contract.imports import Imports, find_path, format_imports

_INSTALLED = ("site-packages", "dist-packages")
_CUSTOMIZE = ("sitecustomize", "usercustomize")
_RANK = "TORCHELASTIC_RUN_ID"
"""Set in the processes that torchrun starts: it is torchrun that a standby would be for."""


def record_imports() -> None:
    """Nothing where no keeper is, or where it cannot be written: it was a courtesy to the next attempt."""
    channel = os.environ.get(environment.CHANNEL)
    if channel is None or _RANK in os.environ:
        return
    path = find_path(Path(channel).parent, os.getpid())
    temporary = path.with_suffix(".tmp")
    with contextlib.suppress(OSError):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(format_imports(Imports(tuple(_list_installed()), dict(os.environ))))
        os.replace(temporary, path)


def _list_installed() -> Iterator[str]:
    roots = tuple(os.path.join(root, "") for root in _list_roots())
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        origin = getattr(spec, "origin", None)
        if spec is None or spec.name != name or name in _CUSTOMIZE or not isinstance(origin, str):
            continue  # an alias, a module made by hand, a namespace
        if origin in ("built-in", "frozen") or origin.startswith(roots):
            yield name


def _list_roots() -> Iterator[str]:
    yield os.path.dirname(os.__file__)
    yield os.path.dirname(__file__)
    yield os.path.dirname(os.path.dirname(perdured.contract.__file__))
    yield from (path for path in sys.path if os.path.basename(path) in _INSTALLED)
