"""Who may use the API: bearer keys for programs, a cookie for the page, and the origin of a browser's socket."""

import hashlib
import hmac
from typing import Annotated, Final
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends
from starlette.requests import HTTPConnection

from progress.settings import Settings
from server.errors import Problem
from server.state import StateDep

COOKIE: Final = "jobcast_key"


def owner_of(key: str, settings: Settings) -> str | None:
    """The name of a key, or None. Every key is compared in constant time."""
    given = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
    found = None
    for name, known in settings.api_keys.items():
        if hmac.compare_digest(hashlib.sha256(known.encode()).digest(), given):
            found = name
    return found


def key_of(connection: HTTPConnection) -> str | None:
    """The key that a request carries: ``Authorization: Bearer``, else the page's cookie, which EventSource and
    WebSocket send by themselves."""
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    # Starlette's parser reads each cookie by itself: an odd one of another program on this host spoils no other.
    return unquote(connection.cookies.get(COOKIE, "")) or None


def cookie_of(key: str) -> str:
    """A key in the form in which the page's cookie carries it: a header has no room for other letters."""
    return quote(key, safe="")


def admitted(connection: HTTPConnection, settings: Settings) -> str | None:
    """The name of the key that a request carries; None where no keys are set.

    Raises:
        Problem: 401, no key or a wrong one.
    """
    if not settings.api_keys:
        return None
    key = key_of(connection)
    owner = owner_of(key, settings) if key else None
    if owner is None:
        what = "this key is not known here" if key else "send a key as `Authorization: Bearer KEY`"
        raise Problem(401, "unauthorized", what, headers={"WWW-Authenticate": "Bearer"})
    return owner


# A coroutine, though it waits for nothing: FastAPI runs a plain function in a thread, for each request.
async def require_owner(connection: HTTPConnection, state: StateDep) -> str | None:
    """The same, for a route."""
    return admitted(connection, state.settings)


OwnerDep = Annotated[str | None, Depends(require_owner)]


def same_origin(connection: HTTPConnection) -> bool:
    """Whether a socket comes from a page of this server, or from no page at all.

    A browser lets any page open a socket to anywhere, with cookies; only this check keeps others' pages out.
    """
    origin = connection.headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == connection.headers.get("host")
    except ValueError:  # it is no address at all
        return False
