"""Whose turn it is: pure, over values. `make_plan` takes what each job asks for, what the machine has and the time, and
returns for each job whether it may start, must wait, or has to step aside, with what stands in its way.

demand.py     what a job asks for, and whether it has it already
standing.py   the demand of a job, read off its spec and its record
machine.py    what there is to be had
plan.py       the rules, and the plan
turn.py       what the plan says of one job
words.py      the same for people
"""
