"""The checkpoint format, both sides: see `docs/checkpoint-format.md`."""

from perdured.contract.checkpoint.chunks import Target
from perdured.contract.checkpoint.commit import Committed, Files, commit_checkpoint
from perdured.contract.checkpoint.gather import Steady
from perdured.contract.checkpoint.layout import CheckpointName, format_name, parse_name
from perdured.contract.checkpoint.manifest import Facts, FileEntry, Manifest, NewerFormat
from perdured.contract.checkpoint.reasons import forgive_lost
from perdured.contract.checkpoint.receive import CameDamaged, Sealed, parse_sealed, receive_checkpoint
from perdured.contract.checkpoint.retention import retain
from perdured.contract.checkpoint.store import Choice, Listed, choose_checkpoint, list_checkpoints, quarantine
from perdured.contract.checkpoint.verify import Problem, Verdict, read_file, verify_checkpoint

__all__ = [
    "CameDamaged",
    "CheckpointName",
    "Choice",
    "Committed",
    "Facts",
    "FileEntry",
    "Files",
    "Listed",
    "Manifest",
    "NewerFormat",
    "Problem",
    "Sealed",
    "Steady",
    "Target",
    "Verdict",
    "choose_checkpoint",
    "commit_checkpoint",
    "forgive_lost",
    "format_name",
    "list_checkpoints",
    "parse_name",
    "parse_sealed",
    "quarantine",
    "read_file",
    "receive_checkpoint",
    "retain",
    "verify_checkpoint",
]
