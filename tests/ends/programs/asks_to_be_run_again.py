# ends: run_again
raise SystemExit(75)
