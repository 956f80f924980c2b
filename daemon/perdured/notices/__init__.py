"""Listens to whoever may warn that the machine or the job will be taken away.

settings    where to listen, from the config and the environment
eyes        what every source looks with: the clock, the boot id, how fast
web         one request to a metadata service
parts       a source's parts: each is looked at with a pace of its own, and what they saw is told as one
aws, gcp, azure, slurm, folder, logind, spoken     the sources
finding     which of them are here
listening   all of them together
board       what all of them told: recorded, merged, handed on
views       how it is shown
"""
