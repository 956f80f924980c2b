"""torch.save's own format, kept to what can be loaded without running code. One of the few modules that import torch.

`torch.load(weights_only=True)` builds tensors, plain values and a short list of harmless classes, and refuses the
rest. That refusal comes when the work is already done, so here it comes at the save. NumPy's arrays and scalars, which
a loss easily is, are let through both ways: what builds them takes bytes and a dtype.
"""

from __future__ import annotations

import contextlib
import io
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from perdure.errors import CannotRestore, CannotSave

_NUMPY_DTYPES = "?bBhHiIlLqQefdgFDGMmSU"


def check_loadable(value: object) -> None:
    """Errors: CannotSave for what `load_payload` would refuse."""
    outline = io.BytesIO()
    try:
        torch.save(_without_data(value, torch.empty(0)), outline)
    except Exception as error:  # pickling runs the code of any class
        raise _cannot_save(str(error)) from error
    outline.seek(0)
    with safe_globals(_harmless()):
        unsafe = get_unsafe_globals_in_checkpoint(outline)
    if unsafe:
        raise _cannot_save(f"it holds {', '.join(sorted(unsafe))}, which only running code could bring back")


def _cannot_save(why: str) -> CannotSave:
    todo = "Save tensors and plain values: model.state_dict() in place of the model, numbers in place of objects."
    return CannotSave("perdure.save cannot save this", why, todo)


def _without_data(value: Any, tensor: torch.Tensor) -> Any:
    """The same tree with `tensor` in the place of every plain one, so that it pickles at once."""
    if type(value) in (dict, OrderedDict):
        return type(value)((key, _without_data(item, tensor)) for key, item in value.items())
    if type(value) in (list, tuple):
        return type(value)(_without_data(item, tensor) for item in value)
    return tensor if type(value) in (torch.Tensor, torch.nn.Parameter) else value


def _harmless() -> list[Any]:
    np: Any = sys.modules.get("numpy")
    if np is None:
        return []
    core = np._core if hasattr(np, "_core") else np.core  # noqa: SLF001  its name since NumPy 2
    dtypes = [type(np.dtype(code)) for code in _NUMPY_DTYPES]
    return [core.multiarray._reconstruct, core.multiarray.scalar, np.ndarray, np.dtype, *dtypes]  # noqa: SLF001


def load_payload(path: Path, map_location: Any) -> Any:
    """The value in a file of torch.save. Errors: CannotRestore if it holds more than data; OSError."""
    with contextlib.suppress(ImportError):
        import numpy  # noqa: F401, ICN001  a file may hold its arrays before the script has loaded it
    try:
        with safe_globals(_harmless()):
            return torch.load(path, map_location=map_location, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of many types, from a broken zip to an unknown class
        why = str(error).strip().partition("\n")[0]
        todo = (
            "If you trust where it comes from: load it once with torch.load(weights_only=False), save its state_dicts."
        )
        raise CannotRestore(f"{path} cannot be loaded", why, todo) from error


def check_file(path: Path) -> None:
    """What can be checked of a file that has no manifest: the checksums in its zip. Errors: CannotRestore; OSError."""
    if not zipfile.is_zipfile(path):
        return  # the format before torch 1.6 has none
    with zipfile.ZipFile(path) as archive:
        try:
            broken = archive.testzip()
        except (zipfile.BadZipFile, EOFError) as error:
            broken = str(error)
    if broken is not None:
        todo = "Restore it from a copy, or move it away to begin again. No checkpoint of perdure.save lies beside it."
        raise CannotRestore(f"{path} is damaged", f"the checksum of {broken} is wrong", todo)
