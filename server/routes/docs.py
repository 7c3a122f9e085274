"""The page of the API at `/docs`: a file of ours that reads openapi.json, since FastAPI's own loads from elsewhere."""

from pathlib import Path

from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from server.guard import PageHeaders


class OneFile:
    """One of some files, at whatever path it is asked for."""

    def __init__(self, files: ASGIApp, name: str) -> None:
        self._files = files
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._files({**scope, "path": f"/{self._name}", "root_path": ""}, receive, send)


def docs_route(page: Path) -> Route:
    """The route of `docs.html` in the page's directory."""
    return Route("/docs", PageHeaders(OneFile(StaticFiles(directory=page), "docs.html")))
