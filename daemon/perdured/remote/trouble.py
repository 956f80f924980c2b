"""What an object store's refusal means to a person: the library gives one text, and the store's own code is in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from perdured.core.tiers import RemoteTrouble
from perdured.errors import PerdureError

Nature = Literal["passing", "lasting", "foreign", "unleased"]


class Trouble(PerdureError):
    """The remote tier does not do what was asked of it. The job runs on; it is tried again."""

    def __init__(self, what: str, why: str, todo: str, nature: Nature = "passing") -> None:
        super().__init__(what, why, todo)
        self.nature: Nature = nature

    @property
    def as_value(self) -> RemoteTrouble:
        return RemoteTrouble(what=self.what, why=self.why, todo=self.todo, nature=self.nature)


class _Known(NamedTuple):
    sign: str
    """A regular expression over the library's text."""
    what: str
    why: str
    todo: str
    nature: Nature = "lasting"


_SECRET = re.compile("KEY|SECRET|TOKEN|PASSW|CREDENTIAL", re.IGNORECASE)
_SHORTEST_SECRET = 6
"""Letters: what is shorter would take ordinary words apart."""
_ENVIRONMENT = "The environment is captured at submit: set it there and submit again."

_VARIABLES = {
    "s3": ("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_BASE_URL"),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ENDPOINT"),
}
"""By the scheme: what holds the credentials, and where the store is."""

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
        "Check {key}, or their like. " + _ENVIRONMENT,
    ),
    _Known(
        r"169\.254\.169\.254|169\.254\.170\.2|metadata\.google\.internal|Account must be specified|MissingToken",
        "There are no credentials for {url}.",
        "None are in the job's environment, and this machine has no role of its own. Profiles in ~/.aws are not read.",
        "Set {key}, or their like. " + _ENVIRONMENT,
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
        "passing",
    ),
    _Known(
        "500 Internal|502 Bad|504 Gateway",
        "The store of {url} failed.",
        "It reports an error of its own.",
        "Nothing has to be done: it is tried again.",
        "passing",
    ),
    _Known(
        "error sending request|connection|dns error|timed out|timeout|HTTP error",
        "The store of {url} cannot be reached.",
        "The connection failed or took too long.",
        "Nothing has to be done if the network comes back; {endpoint} has to be right.",
        "passing",
    ),
)


def explain(error: BaseException, url: str) -> Trouble:
    text = str(error)
    for known in _KNOWN:
        if re.search(known.sign, text, re.IGNORECASE):
            return Trouble(known.what.format(url=url), known.why, _name_variables(known.todo, url), known.nature)
    first = drop_secrets(text, os.environ).strip().partition("\n")[0][:300] or type(error).__name__
    return Trouble(f"The remote {url} cannot be used.", first, "Check `checkpoint.remote`.")


def _name_variables(todo: str, url: str) -> str:
    key, endpoint = _VARIABLES.get(url.partition("://")[0], _VARIABLES["s3"])
    return todo.format(key=key, endpoint=endpoint)


def is_about_bucket(error: BaseException) -> bool:
    """That it is the bucket which is not there, and not only the object."""
    return re.search(_KNOWN[0].sign, str(error), re.IGNORECASE) is not None


def drop_secrets(text: str, env: Mapping[str, str]) -> str:
    """The text without the value of any variable that is named like a secret: a store may quote what it was sent."""
    for name, value in env.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET.search(name):
            text = text.replace(value, f"<{name}>")
    return text
