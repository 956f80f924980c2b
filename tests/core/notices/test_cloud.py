from __future__ import annotations

import pytest

from perdured.core.notices.cloud import find_cloud


@pytest.mark.parametrize(
    ("dmi", "cloud"),
    [
        ({"sys_vendor": "Amazon EC2\n", "product_name": "g5.xlarge\n", "bios_version": "1.0\n"}, "aws"),
        ({"sys_vendor": "Xen\n", "bios_version": "4.11.amazon\n"}, "aws"),
        ({"sys_vendor": "Google\n", "product_name": "Google Compute Engine\n"}, "gcp"),
        ({"sys_vendor": "Microsoft Corporation\n", "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77\n"}, "azure"),
        (
            {"sys_vendor": "Microsoft Corporation\n", "product_name": "Virtual Machine\n", "chassis_asset_tag": "\n"},
            None,
        ),
        ({"sys_vendor": "Alibaba Cloud\n", "product_name": "Alibaba Cloud ECS\n"}, "alibaba"),
        ({"sys_vendor": "Tencent Cloud\n", "product_name": "CVM\n"}, "tencent"),
        ({"sys_vendor": "Dell Inc.\n", "product_name": "PowerEdge R750xa\n"}, None),
        ({"sys_vendor": "Google\n", "product_name": "Chromebook\n"}, None),
        ({}, None),
    ],
)
def test_the_firmware_tells_the_cloud(dmi: dict[str, str], cloud: str | None) -> None:
    assert find_cloud(dmi) == cloud
