"""The state directory: what is kept on the disk between two lives of the daemon.

paths.py        where everything lies
home.py         opening it: its lock, its version
registry.py     what was asked and decided, in SQLite; rebuild.py makes it anew when it was lost
submission.py   what was handed in, as a value
"""
