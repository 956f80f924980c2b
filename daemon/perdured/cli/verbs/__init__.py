"""One file per verb, each with its `command`. Only the verb that was called is imported."""
