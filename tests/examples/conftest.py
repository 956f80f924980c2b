"""One fork server for all examples of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.training import Trainings, open_trainings


@pytest.fixture(scope="session")
def trainings() -> Iterator[Trainings]:
    with open_trainings() as server:
        yield server
