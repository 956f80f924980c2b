# ends: preempted
import sys
sys.stderr.write('''slurmstepd: error: *** JOB 4242 ON node7 CANCELLED AT 2026-11-24T10:11:12 DUE TO PREEMPTION ***
''')
sys.exit(143)
