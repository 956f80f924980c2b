# ends: exit_code
# says: exit code 3
raise SystemExit(3)
