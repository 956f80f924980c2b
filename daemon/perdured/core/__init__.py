"""The pure half of the daemon: values and decisions. No I/O, no clock, no randomness (a test checks the imports)."""
