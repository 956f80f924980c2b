"""The running of jobs: observe → decide → record → act → publish, around the pure `decide` of `core`.

service.py      the verbs: what the API, the spool and `perdure run` may ask for
loop.py         one loop per job; job.py is what it holds in memory
observe.py      reads the world for the decision
ground.py       may the next attempt start, and from which checkpoint
effects.py      carries the actions out
journal.py      records and publishes
foreign.py      checkpoints of programs that write their own files
"""
