"""Where to listen: the environment over the config's `[notices]` over the defaults.

Each key of `[notices]` is also a variable: `aws_url` is PERDURE_NOTICES_AWS_URL. The names by which others redirect
metadata services are honoured as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from perdured.contract import environment
from perdured.core.notices.gcp import PREEMPTED_WINDOW
from perdured.core.units import parse_duration

LINK_LOCAL = "http://169.254.169.254"


def _read_seconds(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("not a duration")
    return parse_duration(value) if isinstance(value, str) else value


def _read_url(value: object) -> object:
    if not isinstance(value, str) or not value.startswith("http://"):
        raise ValueError("no http:// URL")
    return value.rstrip("/")


Seconds = Annotated[float, BeforeValidator(_read_seconds), Field(ge=0)]
Url = Annotated[str, BeforeValidator(_read_url)]


class NoticeSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    cloud: Literal["auto", "none", "aws", "gcp", "azure", "alibaba", "tencent"] = Field(
        "auto", description='"auto", "none", "aws", "gcp", "azure", "alibaba" or "tencent"'
    )
    folder: Path | None = Field(None, description="a path")
    signal: Literal["SIGUSR1", "SIGUSR2", "none"] = Field("SIGUSR1", description='"SIGUSR1", "SIGUSR2" or "none"')
    grace: Seconds | None = Field(None, description='a duration such as "60s"')
    aws_url: Url = Field(LINK_LOCAL, description="an http:// URL")
    gcp_url: Url = Field(LINK_LOCAL, description="an http:// URL")
    gcp_window: Seconds = Field(PREEMPTED_WINDOW, description='a duration such as "30s"')
    azure_url: Url = Field(LINK_LOCAL, description="an http:// URL")
    alibaba_url: Url = Field("http://100.100.100.200", description="an http:// URL")
    tencent_url: Url = Field("http://metadata.tencentyun.com", description="an http:// URL")


def list_overrides(env: Mapping[str, str]) -> dict[str, str]:
    """The keys of `[notices]` that the environment sets."""
    found = _list_foreign(env)
    for key in NoticeSettings.model_fields:
        value = env.get(environment.NOTICES + key.upper())
        if value:
            found[key] = value
    return found


def _list_foreign(env: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    if env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        found["aws_url"] = env["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    host = env.get("GCE_METADATA_HOST") or env.get("GCE_METADATA_IP")
    if host:
        found["gcp_url"] = f"http://{host}"
    return found
