"""The base of every value in the core."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable value. Unknown fields are ignored, so that a newer version's records can still be read."""

    model_config = ConfigDict(frozen=True, extra="ignore")
