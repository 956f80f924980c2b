"""Which cloud a machine is in, by what its firmware says of itself. Pure.

So a machine in no cloud is told apart without a single request. Hyper-V looks like Azure everywhere; only the asset tag
is Azure's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Cloud = Literal["aws", "gcp", "azure", "alibaba", "tencent"]

DMI_FILES = ("sys_vendor", "product_name", "product_version", "board_vendor", "bios_vendor", "bios_version",
             "chassis_asset_tag")  # fmt: skip
_AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"


def find_cloud(dmi: Mapping[str, str]) -> Cloud | None:
    """From the files of /sys/class/dmi/id; those that are missing are left out."""
    words = {name: text.strip().lower() for name, text in dmi.items()}
    if any(words.get(name) == "amazon ec2" for name in ("sys_vendor", "board_vendor", "bios_vendor")):
        return "aws"
    if any("amazon" in words.get(name, "") for name in ("bios_version", "product_version")):
        return "aws"  # the older ones, on Xen
    if words.get("product_name") == "google compute engine":
        return "gcp"
    if words.get("sys_vendor") == "alibaba cloud" or words.get("product_name") == "alibaba cloud ecs":
        return "alibaba"
    if words.get("sys_vendor") == "tencent cloud":
        return "tencent"
    return "azure" if words.get("chassis_asset_tag") == _AZURE_TAG else None
