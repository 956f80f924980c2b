"""The daemon half of Perdure: supervises training jobs. Never imports torch, never unpickles anything."""

__version__ = "0.1.0"
