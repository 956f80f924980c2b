"""A keeper of the next version: see `newer_perdured`. What it says and what it writes has more than is known today."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "daemon"))

from perdured.contract import durable, messages
from perdured.keeper import records, talk
from perdured.keeper.main import main

messages.VERSION += 1
records.VERSION += 1
NEWS = {"news": {"of": ["a later version"]}}
format_status = talk.format_status


def format_more(of: talk.Situation) -> bytes:
    unknown = talk.format_message({"type": "what only a later version tells", **NEWS})
    return talk.format_message(talk.parse_line(format_status(of)) | NEWS) + unknown


def save_more(directory: Path, name: str, record: NamedTuple) -> None:
    data = {"version": records.VERSION, **record._asdict(), **NEWS}
    text = json.dumps({key: records.to_plain(value) for key, value in data.items()})
    durable.write_file(directory / name, text.encode(), mode=0o600)


talk.format_status = format_more
records._save = save_more

os._exit(main(sys.argv[1]))
