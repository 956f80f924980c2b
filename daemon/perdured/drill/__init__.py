"""`perdure drill`: does to a running job what will happen to it one day, and watches what Perdure makes of it.

    means.py     a signal, an inverted byte, a full disk
    strikes.py   what each kind of drill does with them
    sight.py     what is seen of the job meanwhile
    play.py      one drill, from its checks to its end

The phases, their words and the verdict are in `perdured.core.drill`.

Nothing is lost for good. A process is only signalled after the daemon has named it twice and a pidfd was opened in
between, so that no stranger is hit. The byte that is inverted is one of a copy, the file itself lies aside. The room
that is taken belongs to a file without a name, which the kernel frees at the end of this process, however that ends.
"""
