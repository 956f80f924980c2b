"""What `perdure export slurm|kubernetes|skypilot` writes: a spec as another engine understands it. Pure text."""
