"""`jobcast up`: Redis, model server, workers, scheduler, API and page as child processes in one terminal."""

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from progress import signing
from progress.settings import Settings
from server import programs
from server.console import Console
from server.embedded import free_port
from server.processes import StartError
from server.several import api_port
from server.stages import Stages

DATA: Final = Path(".jobcast")
WELCOME: Final = """
Jobcast is up: {url}

Try:  curl -N {url}/v1/jobs -H 'Accept: text/event-stream' -H 'Content-Type: application/json' {auth}\\
        -d '{{"kind": "generate", "input": {{"prompt": "Once upon a time"}}}}'

Ctrl-C stops everything; jobs are kept in {data}.
"""


def run(settings: Settings, data: Path = DATA) -> None:
    """Runs everything until a signal.

    Raises:
        StartError: one line that says what could not be started, and the mend.
    """
    data.mkdir(parents=True, exist_ok=True)
    with _only_one(data):
        asyncio.run(Launcher(settings, data).run())


class Launcher(Stages):
    """Redis first, then the model server, then all that needs them."""

    def __init__(self, settings: Settings, data: Path, console: Console | None = None) -> None:
        super().__init__(console)
        self._settings = settings
        self._data = data

    async def _start_all(self) -> None:
        port = api_port(self._settings)
        url = programs.url_of(self._settings, port)
        env = {"JOBCAST_PORT": str(port), "JOBCAST_REDIS_URL": await self._redis()}
        env["JOBCAST_STORAGE_URL"] = self._settings.storage_url or (self._data.resolve() / "files").as_uri()
        env["JOBCAST_LLM_BASE_URL"] = await self._model()
        if not self._settings.webhook_secret:
            env["JOBCAST_WEBHOOK_SECRET"] = kept_secret(self._data / "webhook_secret", self._console.say)
        env |= programs.model_settings(self._settings)
        # Together, since each is seconds of imports; two stages, since readers leave before workers do.
        await asyncio.gather(
            self._start(programs.workers(env, self._data, self._settings)), self._start([programs.api(env, url)])
        )
        auth = "-H 'Authorization: Bearer KEY' " if self._settings.api_keys else ""
        self._console.say(WELCOME.format(url=url, auth=auth, data=self._data))

    async def _redis(self) -> str:
        url = self._settings.redis_url
        if not url:
            port = free_port()
            await self._start([programs.redis(port, self._data)])
            return programs.redis_url(port)
        if (error := await programs.redis_error(url)) is not None:
            raise StartError(f"JOBCAST_REDIS_URL: no Redis answers there: {error}")
        return url

    async def _model(self) -> str:
        if self._settings.llm_base_url:
            return self._settings.llm_base_url
        port = free_port()
        await self._start([programs.model(port)])
        return programs.model_url(port)


def kept_secret(path: Path, say: Callable[[str], None]) -> str:
    """The secret that signs webhooks, made where there is none yet."""
    path.touch(mode=0o600)
    if not path.read_text().strip():
        path.write_text(signing.new_secret() + "\n")
        say(f"jobcast: webhooks are signed with the secret in {path}")
    return path.read_text().strip()


@contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Two launchers on one folder would be two servers on one append-only file."""
    with (data / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            raise StartError(
                f"jobcast up runs here already, as process {holder}: stop that one, "
                "or start from another directory with another JOBCAST_PORT"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
