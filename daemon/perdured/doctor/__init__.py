"""`perdure doctor`: looks at this machine, and tells what it will give before it is taken away for the first time.

    commands.py       asks other programs: scontrol, systemctl
    storage.py        tries a directory: writes, syncs, locks, renames, how fast
    machine.py        memory, clock, cgroups
    surroundings.py   Slurm, systemd, a container
    hearing.py        how the sources of notices are
    subjects.py       the jobs and directories to look at
    examine.py        all of it, in order

What each thing that was seen means is judged in `perdured.core.doctor`.
"""
