"""A cloud is asked, not guessed: the doctor tries its metadata service, and says when that does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.doctor import hearing
from perdured.testing.metadata import FakeMetadata


def test_a_cloud_that_answers_works(tmp_path: Path) -> None:
    with FakeMetadata() as fake:
        environment = {"PERDURE_NOTICES_CLOUD": "aws", "PERDURE_NOTICES_AWS_URL": fake.url}
        heard = hearing.try_sources(environment, tmp_path)
    assert heard["aws"].state == "works"
    assert heard["gcp"].state == "not_here"
    assert list(tmp_path.iterdir()) == []


def test_one_that_does_not_is_blind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "WITHIN", 0.2)
    with FakeMetadata() as fake:
        fake.change({"manners": {"silent": True}})
        environment = {"PERDURE_NOTICES_CLOUD": "aws", "PERDURE_NOTICES_AWS_URL": fake.url}
        assert hearing.try_sources(environment, tmp_path)["aws"].state == "blind"


def test_outside_of_every_cloud_nobody_is_asked(tmp_path: Path) -> None:
    heard = hearing.try_sources({"PERDURE_NOTICES_CLOUD": "none"}, tmp_path)
    assert {heard[name].state for name in ("aws", "gcp", "azure", "slurm")} == {"not_here"}
