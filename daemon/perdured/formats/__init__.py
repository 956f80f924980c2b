"""Checkpoints that other libraries write: of what kind one is, whether it is whole, and its step.

Nothing is unpickled. What each format can show: a zip of torch.save has a CRC-32 for each part, and so have the tensors
in a DCP directory; safetensors and torch.save's old format have lengths alone, so a flipped bit in their data is not
seen. The pickle in a DCP directory's `.metadata` is read opcode by opcode, for the files and lengths that it names.
"""

from .judge import is_known_folder, judge
from .judged import Judged, Problem

__all__ = ["Judged", "Problem", "is_known_folder", "judge"]
