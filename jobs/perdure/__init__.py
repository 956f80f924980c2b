"""Make a training script resumable: `perdure.save` and `perdure.load`, or the full form, `perdure.Run`.

See `jobs/README.md`. Importing this loads neither torch nor NumPy, and needs nothing but the standard library.
"""

from __future__ import annotations

from perdure.classic import load, save
from perdure.errors import PerdureError
from perdure.session import Run

__all__ = ["PerdureError", "Run", "__version__", "load", "save"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("perdure")
    raise AttributeError(f"module 'perdure' has no attribute {name!r}")
