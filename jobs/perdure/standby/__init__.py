"""What runs in a standby: the job's own interpreter, which has imported what the next attempt needs and waits.

Nobody imports this package. Its modules are copied into a directory of the standby's own and found there under other
names, in an environment that may have no Perdure; so they know nothing but the standard library, and not each other.
`gate.py` becomes `sitecustomize`: the last thing that an interpreter imports before the program.
"""
