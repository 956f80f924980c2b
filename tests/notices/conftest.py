from __future__ import annotations

from collections.abc import Iterator

import pytest

from perdured.testing.metadata import FakeMetadata


@pytest.fixture
def fake() -> Iterator[FakeMetadata]:
    with FakeMetadata() as fake:
        yield fake
