"""Why an attempt ended: from what was seen and printed to one of a few causes, with what shows it.

classify       the whole question, in the order in which it is asked
evidence       what it is asked of: the last lines printed, lines of the kernel's log
tracebacks     the Python errors among what was printed, each with a fingerprint
error_texts    what the words of an error say
kernel_log     the kernel's lines about deaths
xid            its codes of GPU faults
cause, end     the answer: a word, and that word with all that shows it
"""
