"""Names of the environment variables of an attempt (see `docs/reference.md`), and of the tools' own settings."""

JOB_ID = "PERDURE_JOB_ID"
ATTEMPT = "PERDURE_ATTEMPT"
FIRST = "PERDURE_FIRST"
CHANNEL = "PERDURE_CHANNEL"
CHECKPOINT_DIR = "PERDURE_CHECKPOINT_DIR"
RESUME_FROM = "PERDURE_RESUME_FROM"
RESUME_STEP = "PERDURE_RESUME_STEP"
RESTART_REASON = "PERDURE_RESTART_REASON"
GRACE_SECONDS = "PERDURE_GRACE_SECONDS"

# How the spec's [checkpoint] section reaches `perdure.Run`: set by the daemon, overridden by Run's own arguments.
CHECKPOINT_EVERY = "PERDURE_CHECKPOINT_EVERY"
CHECKPOINT_KEEP = "PERDURE_CHECKPOINT_KEEP"
CHECKPOINT_MEMORY = "PERDURE_CHECKPOINT_MEMORY"

# What the job has been through and what its saves cost, for the interval "auto" (`perdured.contract.pacing`).
CHECKPOINT_PAST = "PERDURE_CHECKPOINT_PAST"
# Set after a loss that was not finite, where the spec says so: `perdure.Run` passes over as many batches.
SKIP_BATCHES = "PERDURE_SKIP_BATCHES"

# Where the former attempt's arena can be opened: `perdure.Run` goes on from there if it is still what the disk has.
MEMORY = "PERDURE_MEMORY"

# Marks every process of an attempt, so that what is left of one whose keeper is gone can be told from strangers.
ATTEMPT_NONCE = "PERDURE_ATTEMPT_NONCE"

# In a standby: the descriptor of the gate at which it waits (`perdure.standby.gate`). No program sees it.
STANDBY = "PERDURE_STANDBY"

ATTEMPT_VARIABLES = (
    JOB_ID,
    ATTEMPT,
    FIRST,
    CHANNEL,
    CHECKPOINT_DIR,
    RESUME_FROM,
    RESUME_STEP,
    RESTART_REASON,
    GRACE_SECONDS,
    CHECKPOINT_EVERY,
    CHECKPOINT_KEEP,
    CHECKPOINT_MEMORY,
    CHECKPOINT_PAST,
    SKIP_BATCHES,
    MEMORY,
    ATTEMPT_NONCE,
    STANDBY,
)

# Not ours, and so not among the variables of an attempt: a job that asks for no GPUs has what its submitter had.
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"

SOCKET_PATH = "PERDURE_SOCKET_PATH"
STATE_DIR = "PERDURE_STATE_DIR"
NOTICES = "PERDURE_NOTICES_"
"""Before the name of a key of the config's `[notices]`."""
