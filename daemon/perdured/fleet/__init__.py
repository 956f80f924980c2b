"""Hosts that have joined one bucket (`perdured --join URL`): each takes over the jobs of one that is gone.

    URL/jobs/ID/JOB                 what is to be run; never a secret (`posting.py`)
    URL/jobs/ID/lease/00000002      who may run it: the newest number is the lease (`core/lease.py`)
    URL/jobs/ID/base/00000002       which checkpoints counted when that lease was entered (`remote/fencing.py`)

The checkpoints lie where the job's own spec says, in its `checkpoint.remote`.

posting.py      a job as any host can take it up, and what a host lacks for it
notes.py        what the daemon and its messenger say to each other, and what a listing means
messenger.py    the messenger from the daemon's side
__main__.py     the messenger: a process of its own, which has the library and the daemon's environment

Who decides is `core/lease.py`; who acts on jobs is `supervise/fleet.py`.
"""
