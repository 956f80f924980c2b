"""For tests, ours and yours: nothing of Perdure imports it, and it needs nothing but the standard library."""
