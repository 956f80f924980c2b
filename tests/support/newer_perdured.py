"""A `perdured` of the next version, as far as what is said and kept goes: its messages, records and registry have a
higher version, fields that nobody knows yet, and messages that nobody knows yet. `--same-schema` leaves the registry's
alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from perdured.__main__ import main
from perdured.contract import messages
from perdured.keeper import records
from perdured.processes import launch
from perdured.processes.link import KeeperLink
from perdured.state import registry

NEWS = {"news": {"of": ["a later version"]}}

messages.VERSION += 1
records.VERSION += 1
if "--same-schema" in sys.argv:
    sys.argv.remove("--same-schema")
else:
    registry.SCHEMA_VERSION += 1

send = KeeperLink.send


def send_more(link: KeeperLink, **message: object) -> None:
    send(link, **message, **NEWS)
    send(link, type="what only a later version asks", **NEWS)


KeeperLink.send = send_more  # type: ignore[method-assign, assignment]
launch.start_keeper.__defaults__ = (Path(__file__).with_name("newer_keeper.py"), None)

sys.exit(main())
