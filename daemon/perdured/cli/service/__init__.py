"""`perdure service`: the daemon as a service of systemd, put in place, taken away, looked at.

plan.py       PURE: which files to write and which commands to call, as data
perform.py    does it, and says each step
status.py     what is there: facts, and their words
"""
