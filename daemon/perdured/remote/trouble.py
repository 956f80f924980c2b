"""What an object store's refusal means to a person: the library gives one text, and the store's own code is in it."""

from __future__ import annotations

import re
from typing import NamedTuple

from perdured.errors import PerdureError


class Trouble(PerdureError):
    """The remote tier does not do what was asked of it. The job runs on; it is tried again."""


class _Known(NamedTuple):
    sign: str
    """A regular expression over the library's text."""
    what: str
    why: str
    todo: str


_ENVIRONMENT = "The environment is captured at submit: set it there and submit again."

_KNOWN = (
    _Known(
        "NoSuchBucket|ContainerNotFound|The specified bucket does not exist",
        "The bucket of {url} does not exist.",
        "The store has nothing of that name.",
        "Make it, or change `checkpoint.remote`.",
    ),
    _Known(
        "ExpiredToken|TokenRefreshRequired|RequestExpired|token has expired",
        "The credentials for {url} have expired.",
        "The store does not take this token any more.",
        f"Use fresh ones, or a role that renews itself. {_ENVIRONMENT}",
    ),
    _Known(
        "incorrectly configured region|AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocationConstraint",
        "The bucket of {url} is in another region.",
        "The store sends the request elsewhere.",
        f"AWS_REGION has to name the bucket's region. {_ENVIRONMENT}",
    ),
    _Known(
        "InvalidAccessKeyId|SignatureDoesNotMatch|AuthenticationFailed|InvalidToken|Unauthenticated|401 Unauthorized",
        "The credentials for {url} are not accepted.",
        "The store does not know the key, or the secret does not fit it.",
        f"Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or their like. {_ENVIRONMENT}",
    ),
    _Known(
        r"169\.254\.169\.254|169\.254\.170\.2|metadata\.google\.internal|Account must be specified|MissingToken",
        "There are no credentials for {url}.",
        "None are in the job's environment, and this machine has no role of its own. Profiles in ~/.aws are not read.",
        f"Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or their like. {_ENVIRONMENT}",
    ),
    _Known(
        "AccessDenied|403 Forbidden|PermissionDenied|AuthorizationPermissionMismatch",
        "Access to {url} is denied.",
        "The credentials are known, and may not do this.",
        "Allow them to list, read, write and delete below this prefix.",
    ),
    _Known(
        "503 Service|SlowDown|429 Too Many",
        "The store of {url} is too busy.",
        "It asks to be called less often.",
        "Nothing has to be done: it is tried again.",
    ),
    _Known(
        "500 Internal|502 Bad|504 Gateway",
        "The store of {url} failed.",
        "It reports an error of its own.",
        "Nothing has to be done: it is tried again.",
    ),
    _Known(
        "error sending request|connection|dns error|timed out|timeout|HTTP error",
        "The store of {url} cannot be reached.",
        "The connection failed or took too long.",
        "Nothing has to be done if the network comes back; AWS_ENDPOINT_URL has to be right.",
    ),
)


def explain(error: BaseException, url: str) -> Trouble:
    text = str(error)
    for known in _KNOWN:
        if re.search(known.sign, text, re.IGNORECASE):
            return Trouble(known.what.format(url=url), known.why, known.todo)
    first = text.strip().partition("\n")[0][:300] or type(error).__name__
    return Trouble(f"The remote {url} cannot be used.", first, "Check `checkpoint.remote`.")
