"""What the time of one attempt went into, in seconds, as its keeper adds it up (`perdured.keeper.tally`)."""

from __future__ import annotations

from pydantic import Field

from .value import Value

Seconds = Field(0.0, ge=0, allow_inf_nan=False)


class Tally(Value):
    part: str = "untold"
    """What the time since its last sign goes to."""
    is_measured: bool = False
    """It tells its steps."""
    untold: float = Seconds
    """Until its first word; of a program that tells no steps, all but its saves."""
    loading: float = Seconds
    training: float = Seconds
    saving: float = Seconds
    standing: float = Seconds
    """Still, for a notice."""
    silence: float = Seconds
    """Since its last sign; in none of those above."""
    asleep: float = Seconds
    """In which the machine was suspended; in none of those above."""
    kept: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Seconds of its work, when it told its last checkpoint."""

    @property
    def total(self) -> float:
        """What is known of the length of the attempt."""
        told = self.untold + self.loading + self.training + self.saving + self.standing
        return told + self.silence + self.asleep
