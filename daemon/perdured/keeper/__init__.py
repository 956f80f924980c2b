"""The keeper: the small process that holds one attempt and outlives the daemon. `main.py` has the rules.

Standard library and `perdured.contract` only, so that it starts in a blink and stays small. `records.py` (the files of
an attempt's directory), `identity.py`, `lock.py` and `cgroup.py` are shared with the daemon.
"""
