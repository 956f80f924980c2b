"""The remote tier: checkpoints in an object store, as the same names and files below a URL.

In the daemon, without the library:

uploader.py     copies what is new, one job at a time; waits and tries again
bringing.py     fetches what is newer than the disk, before a start
running.py      the helper process from the daemon's side; orders.py is what they say to each other
status.py       what is known of a job's remote, for decisions and for `perdure show`

In the helper process, which has the job's environment (its credentials) and ends when the daemon does:

__main__.py     takes an order, says how it goes
push.py         the commit protocol where nothing can be renamed: payload, MANIFEST.json, then COMMIT if absent
pruning.py      retention there; proving.py: are the right bytes there?
pull.py         into the local directory, by the local commit protocol
sight.py        what a listing means
store.py        the only module that imports the library; trouble.py puts its errors in three lines
record.py       what the helper found, kept beside the job for its next run and for the daemon
"""
