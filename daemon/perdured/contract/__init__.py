"""All that the daemon and the training side agree on: names, numbers and the checkpoint format.

Standard library only: a training script imports this inside the user's own environment, and a pin there would be a
conflict. `perdure` may import this package and nothing else of `perdured`.
"""
