"""Mutants that do what the original does, each with the reason. By the beginning of their names."""

SAME = {
    "arena._parse_record without: if not isinstance(fields, dict)": "a list has no parts either, which `read` minds",
    "arena._parse_record without: raise ValueError('no object')": "the same",
    "arena.Arena.read without half: not generation": "the checksum of a wiped record is not zero, so it fails as well",
    "arena.Arena.finish swapped: self._view[at + _RECORD.size": "the checksum, over both, fails until both are there",
    "arena.create_arena swapped": "the header is written within the memory, before anybody else has it",
    "copier._Crew.work without: self._turns.acquire()": "what is gathered is bounded by the pool, an image takes none",
    "memory.MemoryTier.__init__ without: self._error = ''": "it is read only after it was set",
    "memory.MemoryTier._advance without half: self._maker is not None": "for the types: who is making has a maker",
    "memory.MemoryTier._fits without half: self._layout is not None": "for the types: what is held has a layout",
    "memory.MemoryTier._take swapped: self._slots.pop(slot, None)": "nothing comes between the two, and neither fails",
    "memory.MemoryTier._take swapped: copy_file(layout": "both are there before the record is",
    "memory.MemoryTier._take swapped: memory[begin:": "the number is seen only in the record, which comes after both",
    "memory.MemoryTier._take swapped: arena.finish": "the record of two parts always fits, so it does not fail",
    "memory.MemoryTier.ask_commit swapped": "the answer is not taken in between",
    "writer._become_writer without: signal.set_wakeup_fd(-1)": "no handler is left that would write there",
    "writer._become_writer without: signal.signal(signal.SIGCHLD": "the writer has no children",
}
