"""Uploads in parts that outlive the process which began them (S3).

The library sends large files in parts as well, but forgets them when it fails or dies: what had arrived is invisible,
paid for, and sent again. So on S3 we ask ourselves, by requests whose URL the library signs: whatever it takes for
credentials, a role of the machine among them, then holds for these. Elsewhere the library does it, the store drops what
was cut short by its own rule, and such a file is sent anew.

So it is, too, where a store refuses one of these requests: not all that speaks S3 speaks all of it. What proves the
file in the end is the same (`sending`).
"""

from __future__ import annotations

import contextlib
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Literal, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from .trouble import Trouble, explain

Method = Literal["GET", "PUT", "POST", "DELETE"]
Sign = Callable[[Method, str, str], str]
"""A signed URL of the bucket: method, target (what comes after the bucket's name), and the end of the target's last
parameter, which the library appends after a slash."""

_TRIES = 4
_FIRST_WAIT = 0.2
_TIMEOUT = 300.0
_MOST_SAID = 4096
_EXPIRED = re.compile("ExpiredToken|TokenRefreshRequired|RequestExpired")
"""What has arrived is still of use once there are fresh credentials."""


class Unfinished(NamedTuple):
    key: str
    """From the bucket's top."""
    id: str


class Refused(Exception):
    """The store does not take the request: the upload is gone, or it does not know such requests."""


class Parts:
    """The unfinished uploads below a folder of a bucket. Errors: Refused; Trouble where it cannot be reached."""

    def __init__(self, sign: Sign, folder: str, url: str) -> None:
        self._sign = sign
        self._folder = folder
        self._url = url

    def list_unfinished(self) -> list[Unfinished]:
        """At most a thousand, and the next run finds more. Of names that checkpoints have alone."""
        where = f"?uploads=&prefix={quote(self._folder)}" if self._folder else "?uploads=&x-id="
        answer = _parse(self._ask("GET", where, "step-"))
        found = [Unfinished(_text(each, "Key"), _text(each, "UploadId")) for each in answer.iterfind("{*}Upload")]
        return [each for each in found if each.key.startswith(f"{self._folder}/step-".lstrip("/"))]

    def begin(self, key: str) -> Unfinished:
        """`key` is below the folder."""
        whole = f"{self._folder}/{key}".lstrip("/")
        answer = self._ask("POST", f"/{quote(whole)}?uploads=&x-id=", "CreateMultipartUpload", b"")
        return Unfinished(whole, _text(_parse(answer), "UploadId"))

    def list_parts(self, upload: Unfinished) -> dict[int, str]:
        """The ETags of what has arrived, by the numbers of the parts."""
        found: dict[int, str] = {}
        while True:
            after = f"&part-number-marker={max(found, default=0)}"
            answer = _parse(self._ask("GET", self._target(upload, after), "ListParts"))
            listed = answer.findall("{*}Part")
            page = {int(_text(each, "PartNumber")): _text(each, "ETag").strip('"') for each in listed}
            found |= page
            if not page or _text(answer, "IsTruncated") != "true":
                return found

    def put_part(self, upload: Unfinished, number: int, data: bytes) -> None:
        self._ask("PUT", self._target(upload, f"&partNumber={number}"), "UploadPart", data)

    def complete(self, upload: Unfinished, etags: Mapping[int, str]) -> None:
        numbered = sorted(etags.items())
        parts = [f"<PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag>" for number, etag in numbered]
        inner = "".join(f"<Part>{part}</Part>" for part in parts)
        body = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()
        if b"<Error>" in self._ask("POST", self._target(upload), "CompleteMultipartUpload", body):
            raise Refused("the store could not put the parts together")

    def abort(self, upload: Unfinished) -> None:
        """Best effort: nothing rests on it."""
        with contextlib.suppress(Trouble, Refused):
            self._ask("DELETE", self._target(upload), "AbortMultipartUpload")

    def _target(self, upload: Unfinished, more: str = "") -> str:
        return f"/{quote(upload.key)}?uploadId={quote(upload.id, safe='')}{more}&x-id="

    def _ask(self, method: Method, target: str, last: str, data: bytes | None = None) -> bytes:
        for attempt in range(_TRIES):
            url, headers = self._sign(method, target, last), {"Content-Type": "application/octet-stream"}
            request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the library's
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
                    found: bytes = answer.read()
                    return found
            except (OSError, HTTPException) as error:
                self._raise_if_final(error, is_last=attempt == _TRIES - 1)
            time.sleep(_FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable: the last try raises")

    def _raise_if_final(self, error: Exception, *, is_last: bool) -> None:
        if isinstance(error, urllib.error.HTTPError):
            said = error.read(_MOST_SAID).decode("utf-8", "replace")
            error.close()
            if _EXPIRED.search(said):
                raise explain(ValueError(said), self._url) from None
            if error.code < 500 and error.code != 429:
                raise Refused(str(error)) from None
        if is_last:
            raise explain(error, self._url) from None


def _parse(answer: bytes) -> ET.Element:
    try:
        return ET.fromstring(answer)  # noqa: S314 - the store's
    except ET.ParseError as error:
        raise Refused(f"the store's answer cannot be read: {error}") from None


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}", "")
