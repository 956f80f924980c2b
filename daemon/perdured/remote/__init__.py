"""The remote tier: checkpoints in an object store, as the same names and files below a URL.

In the daemon, without the library:

tier.py         what is new is copied up, one job at a time; before a start, what is newer there is fetched
status.py       what is known of a job's remote, for decisions and for `perdure show`
running.py      the carrier from the daemon's side; orders.py is what the two say to each other
local.py        what the disk has
record.py       what the carrier found, kept beside the job for its next run and for the daemon

In the carrier, a process of its own, which has the job's environment (its credentials) and ends when the daemon does:

__main__.py     takes an order, says how it goes
owner.py        whose remote it is: one job's at a time
push.py         the commit protocol where nothing can be renamed: payload, MANIFEST.json, then COMMIT if absent
sending.py      one file, sent or gone on with; parts.py: uploads in parts that outlive the process
pruning.py      retention there; proving.py: are the right bytes there?
fencing.py      a host that has lost its lease commits nothing that counts; chain.py: where leases lie
aside.py        what was set aside on the disk on purpose is set aside there
pull.py         into the local directory, by the local commit protocol
sight.py        what a listing means
store.py        the only module that imports the library; trouble.py puts its errors in three lines
"""
