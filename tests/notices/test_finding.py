"""Off the cloud nobody is asked, and each source that is not here says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from perdured.notices.finding import Here, Sources, Surroundings, find_sources
from perdured.notices.settings import NoticeSettings, list_overrides
from support.ears import make_eyes

AWS = {"sys_vendor": "Amazon EC2"}
PC = {"sys_vendor": "Dell Inc."}


HERE = Here(Path("/nowhere"), lambda: True)


def find(
    settings: NoticeSettings | None = None, env: dict[str, str] | None = None, dmi: dict[str, str] | None = None
) -> Sources:
    return find_sources(settings or NoticeSettings(), Surroundings(env or {}, dmi or {}), HERE, make_eyes())


def names(sources: Sources) -> set[str]:
    return {source.name for source in sources.here}


def test_a_machine_of_ones_own_has_no_cloud_to_ask() -> None:
    sources = find(dmi=PC)
    assert sources.cloud is None
    assert names(sources) == {"folder", "signal"}
    clouds = {"aws", "gcp", "azure", "alibaba", "tencent"}
    assert {status.source for status in sources.absent} == {*clouds, "systemd", "slurm", "kubernetes"}
    assert all(status.state == "not_here" and status.why for status in sources.absent)


def test_the_firmware_decides_which_cloud_is_asked_and_the_settings_above_it() -> None:
    assert "aws" in names(find(dmi=AWS))
    assert "gcp" in names(find(NoticeSettings(cloud="gcp"), dmi=AWS))
    assert find(NoticeSettings(cloud="none"), dmi=AWS).cloud is None
    assert "azure" in names(find(NoticeSettings(cloud="azure")))
    assert "alibaba" in names(find(dmi={"sys_vendor": "Alibaba Cloud"}))
    assert "tencent" in names(find(dmi={"sys_vendor": "Tencent Cloud"}))


def test_a_firmware_that_says_nothing_is_told_apart_from_another_maker() -> None:
    (nothing, *_), (other, *_) = find().absent, find(dmi=PC).absent
    assert "notices.cloud may" in nothing.why
    assert "another maker" in other.why


def test_a_job_of_slurm_and_a_pod_are_seen_in_the_environment() -> None:
    assert "slurm" in names(find(env={"SLURM_JOB_ID": "17"}))
    pod = find(env={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert "kubernetes" in names(pod)
    assert "signal" not in names(pod)


def test_every_key_can_be_set_by_the_environment() -> None:
    env = {f"PERDURE_NOTICES_{key.upper()}": "x" for key in NoticeSettings.model_fields}
    assert list_overrides(env) == dict.fromkeys(NoticeSettings.model_fields, "x")


def test_the_names_that_others_use_for_the_same_are_honoured() -> None:
    env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://a", "GCE_METADATA_HOST": "b:1", "GCE_METADATA_IP": "c"}
    assert list_overrides(env) == {"aws_url": "http://a", "gcp_url": "http://b:1"}
    assert list_overrides({"GCE_METADATA_IP": "c", "PERDURE_NOTICES_GCP_URL": "http://d"}) == {"gcp_url": "http://d"}


@pytest.mark.parametrize(
    "wrong", [{"cloud": "oracle"}, {"grace": "soon"}, {"aws_url": "https://x"}, {"signal": "SIGKILL"}]
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        NoticeSettings.model_validate(wrong)
