"""The spec that is exported, and where it lies."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple

from perdured.core.spec import Spec


class Source(NamedTuple):
    spec: Spec
    file: str
    """Absolute."""
    workdir: str
    """Of the job, absolute."""

    @property
    def file_name(self) -> str:
        return PurePosixPath(self.file).name

    @property
    def shown_name(self) -> str:
        """For a comment, which has to stay on its line."""
        return "".join(c if c.isprintable() else "?" for c in self.file_name)

    @property
    def checkpoint_dir(self) -> str:
        return str(PurePosixPath(self.workdir) / self.spec.checkpoint.dir)
