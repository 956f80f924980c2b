"""One request to a metadata service, and its answer.

Such a service lies on a link-local address and is asked by this machine alone, so nothing may stand between: no proxy
of the environment is used and no redirect is followed. What answers there may be anything (a captive portal, a proxy,
a service that is overloaded), so the whole exchange has one deadline, also for an answer that comes a byte a second,
and of a body no more than `LARGEST` bytes are taken. h11, which the API's server brings, knows the protocol; the
sockets are the event loop's, so that a request that hangs for a minute is ended by a cancellation and holds no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

from perdured.core.notices.answer import Answer, Failed
from perdured.tasks import finish_within

LARGEST = 1 << 18


class Silent(Failed):
    """No answer in time."""


class Request(NamedTuple):
    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""


async def fetch(request: Request, within: float) -> Answer:
    """Raises Failed (Silent) where there is no answer."""
    try:
        return await finish_within(_exchange(request), within)
    except asyncio.TimeoutError:
        raise Silent(f"{request.url} does not answer within {within:g} s") from None
    except ConnectionRefusedError:
        raise Failed(f"nobody listens on {request.url}") from None
    except (OSError, EOFError) as error:
        raise Failed(f"{request.url} cannot be asked: {str(error) or type(error).__name__}") from None
    except (h11.ProtocolError, UnicodeError, ValueError) as error:
        raise Failed(f"what {request.url} answers is not HTTP: {error}") from None


async def _exchange(request: Request) -> Answer:
    place = urlsplit(request.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port or 80)
    try:
        target = place.path + (f"?{place.query}" if place.query else "")
        return await _converse(reader, writer, request, target, place.netloc)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request, target: str, host: str
) -> Answer:
    connection = h11.Connection(h11.CLIENT)
    headers = {"Host": host, "Connection": "close", **request.headers}
    if request.body or request.method in ("POST", "PUT"):
        headers["Content-Length"] = str(len(request.body))
    head = h11.Request(method=request.method, target=target, headers=list(headers.items()))
    for event in (head, h11.Data(data=request.body), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()
    return await _read(connection, reader)


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    response: h11.Response | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(1 << 14))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LARGEST:
                raise ValueError(f"over {LARGEST} bytes")
        elif isinstance(event, h11.EndOfMessage):
            break
        elif isinstance(event, h11.ConnectionClosed):
            raise EOFError("the connection was closed before an answer")
    if response is None:
        raise EOFError("the connection was closed before an answer")
    named = {name.decode("ascii"): value.decode("latin-1") for name, value in response.headers}
    return Answer(response.status_code, body.decode("utf-8", errors="replace"), named)
