"""Notices: the value, what each source's answer says, and what all that stand say together. Pure."""
