"""The ASGI app: routes, page and errors around one State."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from progress import cancelling, factory
from progress.hub import Hub
from progress.settings import Settings
from progress.storage import open_storage
from progress.store import Store
from server import errors
from server.direct import Direct
from server.encoding import IDLE_S
from server.filing import Filing
from server.guard import BodyGuard, PageHeaders
from server.making import Batches
from server.posting import Posting
from server.routes import artifacts, batches, deliveries, events, figures, files, jobs, schedules, service, sockets
from server.routes.docs import docs_route
from server.state import State, keep_awake
from server.submission import Submissions
from tasks.queue import CeleryQueue, JobQueue

_HERE: Final = Path(__file__).parent
DESCRIPTION: Final = """
Submit a job, have its id in milliseconds, and follow it token by token: leave, come back, miss nothing.

Events have a `seq` that grows; whoever holds one can ask what came after it, in every format.
"""


def page_directory() -> Path:
    """Where the page's files are: beside this package in a clone, inside it in a wheel."""
    packaged = _HERE / "_static"
    return packaged if packaged.is_dir() else _HERE.parent / "static"


def create_app(state: State) -> FastAPI:
    """The app over these parts; whoever runs it starts and stops them."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        state.hub.start()
        ticking = asyncio.create_task(keep_awake(state.relays, IDLE_S / 2))
        yield
        await cancelling.end(ticking)
        await state.hub.close()
        await state.submissions.close()
        await state.store.close()
        state.files.close()

    app = FastAPI(
        title="Jobcast",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        # FastAPI's own page loads its parts from elsewhere; `/docs` is ours, in static/.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    app.state.jobcast = state
    errors.install(app)
    for module in (jobs, batches, schedules, deliveries, artifacts, files, events, figures, service, sockets):
        # As they are: include_router makes each of them anew, at the first request, which then takes 50 ms of CPU.
        app.router.routes.extend(module.router.routes)
    app.add_middleware(Direct, state=state)
    app.add_middleware(Posting, state=state)
    app.add_middleware(BodyGuard, max_bytes=state.settings.max_input_bytes, spared=files.PATH)
    page = page_directory()
    app.router.routes.append(Mount("/static", PageHeaders(StaticFiles(directory=page))))
    app.router.routes.append(docs_route(page))
    # A Route, not a Mount: that would take every path, and a known one with a wrong method is 405, not 404.
    app.router.routes.append(Route("/", PageHeaders(StaticFiles(directory=page, html=True)), methods=["GET"]))
    return app


def make_state(settings: Settings, queue: JobQueue | None = None) -> State:
    """The parts of a process with these settings. Must be called on the event loop that will run them."""
    store = Store.with_settings(factory.async_executor(settings.redis_url), settings)
    hub = Hub(store, factory.listener(settings.redis_url))
    queue = queue or CeleryQueue.from_settings(settings)
    files = Filing(open_storage(settings), settings.files_ttl_s)
    submissions = Submissions(store, queue, settings, files)
    return State(settings, store, hub, queue, submissions, Batches(store, submissions), files)
