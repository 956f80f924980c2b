"""What an entrance needs of the daemon that it belongs to."""

from __future__ import annotations

from typing import NamedTuple

from perdured.notices.listening import Audience, Listening

from .notices import RelayedNotices
from .shares import Sharing


class Inside(NamedTuple):
    sharing: Sharing
    """Our part of the machine."""
    audience: Audience
    """Our jobs."""
    listening: Listening | RelayedNotices
