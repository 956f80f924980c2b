"""So many of each thing that jobs share. What is not limited is infinite."""

from __future__ import annotations

import math
import operator
from typing import NamedTuple


class Amounts(NamedTuple):
    jobs: float = 0
    """Places for an attempt: only where the daemon's config limits them."""
    cpus: float = 0
    memory: float = 0
    """Bytes."""
    gpus: float = 0

    def plus(self, other: Amounts) -> Amounts:
        return Amounts(*map(operator.add, self, other))

    def minus(self, other: Amounts) -> Amounts:
        return Amounts(*map(operator.sub, self, other))

    def has_room_for(self, asked: Amounts) -> bool:
        """Of what is not asked for there may be less than nothing."""
        return all(need <= have or need == 0 for need, have in zip(asked, self, strict=True))

    def list_lacking(self, asked: Amounts) -> tuple[str, ...]:
        """Of what there is not enough here."""
        return tuple(kind for kind, need, have in zip(self._fields, asked, self, strict=True) if 0 < need > have)

    def shares(self, other: Amounts) -> bool:
        """Whether both ask for some of the same thing."""
        return any(one > 0 and two > 0 for one, two in zip(self, other, strict=True))


NOTHING = Amounts()
UNLIMITED = Amounts(math.inf, math.inf, math.inf, math.inf)
