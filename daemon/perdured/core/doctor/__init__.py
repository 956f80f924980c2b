"""What `perdure doctor` makes of what it saw: each check is a judgement over one observed value. Pure."""
