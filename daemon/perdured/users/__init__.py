"""One daemon for all users of a machine: who is at the door, and whose deputy answers.

door.py      root's side of the socket that everybody may connect to: by the kernel's word, ours or somebody else's
deputies.py  the deputies, one for each user: started, handed connections, started again
deputy.py    the deputy's side
homes.py     the deputies' state directories, below one that is root's
accounts.py  whom the system knows
words.py     what the two sides say to each other

Rules
-----
- **Root touches nothing of a user's.** Every file of a job (its checkpoints, logs, records, its spec's folder, the
  programs it names) is opened by the deputy, or by a keeper that the deputy started. Root makes one directory for each
  user, in a directory of its own, and never goes into it.
- **Root reads nothing that a user says.** A connection is handed over as a descriptor, before a byte of it is read.
- **What a deputy says is a stranger's word.** Whoever has a user's identity may speak as that user's deputy. It is
  small, bounded, and can speak of that user alone.
- **A user sees one daemon: the own.** Names, ids, groups, events, metrics are those of the own jobs; of any other there
  is none to be found, and no difference between one that is somebody else's and one that never was.
"""
