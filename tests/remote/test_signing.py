"""The requests of our own are signed as S3 wants it: another program than the library comes to the same signature."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from perdured.remote.parts import Method
from perdured.remote.store import _sign

REQUESTS: list[tuple[Method, str, str]] = [
    ("GET", "?uploads=&prefix=run", "step-"),
    ("GET", "?uploads=&x-id=", "step-"),
    ("POST", "/run/step-1/a%20b.bin?uploads=&x-id=", "CreateMultipartUpload"),
    ("PUT", "/run/step-1/a.bin?uploadId=x%2By%2F&partNumber=7&x-id=", "UploadPart"),
    ("DELETE", "/run/step-1/a.bin?uploadId=xy&x-id=", "AbortMultipartUpload"),
]


@pytest.mark.parametrize(("method", "target", "last"), REQUESTS)
def test_it_is_the_signature_that_s3_computes(
    method: Method, target: str, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that does not check signatures, as the tests' own, would take any."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a/secret+key")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    url = urlsplit(_sign("bucket", method, target, last))
    given = dict(parse_qsl(url.query, keep_blank_values=True))
    at = dt.datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.timezone.utc)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda **_: at)
    plain = "&".join(pair for pair in url.query.split("&") if not pair.startswith("X-Amz-"))
    request: Any = botocore.awsrequest.AWSRequest(method=method, url=urlunsplit(url._replace(query=plain)))
    credentials = botocore.credentials.Credentials("AKIDEXAMPLE", "a/secret+key")
    signer = botocore.auth.S3SigV4QueryAuth(credentials, "s3", "eu-central-1", expires=int(given["X-Amz-Expires"]))
    signer.add_auth(request)
    expected = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
    assert given["X-Amz-Signature"] == expected["X-Amz-Signature"]
