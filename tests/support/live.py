"""A whole Jobcast for tests: real processes on a real Redis, each on a free port, none left behind."""

import contextlib
import itertools
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from server.embedded import LOOPBACK, free_port
from tests.support.machine import Stalls
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).parents[2]
Post = tuple[str, str, int]
"""The queues, pool and concurrency of one worker."""
START_S: Final = 60.0
NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that need none: else each reads this system's certificates, for longer than what it asks takes."""
ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})


class Child:
    """One process of ours, in a group of its own; it goes when the tests go, however they do."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        leash = [sys.executable, "-m", "server.leash", str(os.getpid())]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*leash, *command], env=env, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """Of the process itself."""
        return self.process.pid

    def output(self) -> str:
        """Everything it has printed."""
        return self.log.read_text(errors="replace")

    @property
    def takes_jobs(self) -> bool:
        """Whether it is a worker that listens to its queues."""
        return "worker ready" in self.output()

    def kill(self, number: int = signal.SIGKILL, *, group: bool = False) -> None:
        """Sends a signal to it, or to its whole group."""
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            else:
                self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 10.0) -> float:
        """Sends a signal and waits for its end; the seconds that took. What is left then is killed."""
        started = time.monotonic()
        self.kill(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)
        took = time.monotonic() - started
        self.kill(signal.SIGKILL, group=True)
        self.process.wait()
        return took


class Live:
    """Redis, demo model, workers and API. A context manager. ``settings`` are those of the environment, unprefixed."""

    def __init__(self, *, redis: RedisServer | None = None, model: bool = True, **settings: str) -> None:
        self._stack = contextlib.ExitStack()
        self._directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="jobcast-live-")))
        self.redis = redis or self._stack.enter_context(RedisServer("--appendonly", "yes"))
        self.stalls = self._stack.enter_context(Stalls())
        """What this machine adds to every time that a test takes."""
        self.port = free_port()
        self.model_port = free_port() if model else 0
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.ws_url = f"ws://{LOOPBACK}:{self.port}"
        self.settings = settings
        self.children: list[Child] = []
        self._numbers = itertools.count()
        self.api: Child | None = None
        self.model: Child | None = None

    @property
    def env(self) -> dict[str, str]:
        """The environment of every process."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBCAST_")}
        ours = {
            "REDIS_URL": self.redis.url,
            "PORT": str(self.port),
            "TASKS": "tests.support.kinds",
            "LLM_BASE_URL": f"http://{LOOPBACK}:{self.model_port or 9}/v1",
            "LLM_CONTINUES": "1",
            "STORAGE_URL": (self._directory / "files").as_uri(),
            **self.settings,
        }
        # What a killed process leaves behind goes with this directory.
        own = {"PYTHONUNBUFFERED": "1", "TMPDIR": str(self._directory)}
        return {**inherited, **{f"JOBCAST_{name}": value for name, value in ours.items()}, **own}

    def start(self, name: str, *command: str, **environment: str) -> Child:
        """Starts a process of the project, with more in its environment."""
        env = {**self.env, **environment}
        child = Child(name, [sys.executable, *command], env, self._directory / f"{name}.log")
        self.children.append(child)
        return child

    def start_model(self) -> None:
        """Starts the demo model server, fast enough not to be what a test waits for."""
        pace = ("--tokens-per-s", "200", "--first-token-s", "0.02", "--image-s", "0.2", "--embed-s", "0.02")
        self.model = self.start("model", "-m", "server.demo_model", "--port", str(self.model_port), *pace)
        self._wait_for(f"http://{LOOPBACK}:{self.model_port}/healthz", self.model)

    def start_api(self) -> Child:
        """Starts the API and returns once it can take jobs."""
        self.api = self.start("api", "-m", "server.cli", "api")
        self._wait_for(f"{self.url}/livez", self.api)
        return self.api

    def stop_api(self, number: int = signal.SIGTERM) -> float:
        """Stops the API; the seconds that took."""
        assert self.api
        return self.api.stop(number)

    def restart_api(self, number: int = signal.SIGTERM) -> None:
        """Stops the API and starts it again at the same address."""
        self.stop_api(number)
        self.start_api()

    def start_worker(self, queue: str = "llm", pool: str = "threads", concurrency: int = 50) -> Child:
        """Starts a worker and returns once it takes jobs."""
        (child,) = self.start_workers((queue, pool, concurrency))
        return child

    def start_workers(self, *posts: Post, **environment: str) -> list[Child]:
        """Starts workers beside each other and returns once all of them take jobs."""
        children = [self.launch_worker(queue, pool, slots, **environment) for queue, pool, slots in posts]
        for child in children:
            self._until(lambda child=child: child.takes_jobs, child)
        return children

    def launch_worker(self, queue: str, pool: str, concurrency: int, **environment: str) -> Child:
        """Starts a worker and does not wait for it."""
        name = f"worker-{queue}-{next(self._numbers)}"
        options = ("--queues", queue, "--pool", pool, "--concurrency", str(concurrency))
        return self.start(name, "-m", "server.cli", "worker", *options, **environment)

    def _wait_for(self, address: str, child: Child) -> None:
        def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(address, trust_env=False, verify=NO_TLS).status_code == httpx.codes.OK
            return False

        self._until(answers, child)

    def _until(self, condition: Any, child: Child) -> None:
        try:
            wait_until(lambda: condition() or child.process.poll() is not None, START_S)
        except TimeoutError:
            raise RuntimeError(f"{child.name} does not come up:\n{child.output()[-3000:]}") from None
        if child.process.poll() is not None:
            raise RuntimeError(f"{child.name} has ended:\n{child.output()[-3000:]}")

    def client(self, **options: Any) -> httpx.Client:
        """A client of the API; close it."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30, verify=NO_TLS, **options)

    def submit(self, kind: str, task_input: dict[str, Any], **fields: Any) -> str:
        """Submits a job and returns its id."""
        with self.client() as client:
            answer = client.post("/v1/jobs", json={"kind": kind, "input": task_input, **fields})
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])

    @contextlib.contextmanager
    def under_way(self, kind: str, **task_input: Any) -> Iterator[str]:
        """A job that ends no sooner than the context does; its ``kind`` knows ``until``."""
        over = self._directory / f"over-{next(self._numbers)}"
        try:
            yield self.submit(kind, {**task_input, "until": str(over)})
        finally:
            over.touch()

    def said(self, job_id: str) -> str:
        """The text in a job's log."""
        return "".join(event["text"] for event in self.events(job_id) if event["type"] == "token")

    def job(self, job_id: str, wait_s: float = 0) -> dict[str, Any]:
        """A job, after its end if that comes within ``wait_s``, not counting for how long the machine stood still."""
        asked = time.monotonic()
        with self.client() as client:
            answer = client.get(f"/v1/jobs/{job_id}", params={"wait": wait_s} if wait_s else {}, timeout=wait_s + 30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        stalled_s = self.stalls.since(asked) if wait_s else 0
        return self.job(job_id, stalled_s) if stalled_s and found["status"] not in ENDED else found

    def events(self, job_id: str, **query: Any) -> list[dict[str, Any]]:
        """All events of a job, from its log."""
        with self.client() as client:
            found: list[dict[str, Any]] = []
            page: dict[str, Any] = {"next": 0, "done": False}
            while not page["done"]:
                query |= {"format": "json", "after": page["next"]}
                page = client.get(f"/v1/jobs/{job_id}/events", params=query).raise_for_status().json()
                if not page["events"] and not page["done"]:
                    break
                found += page["events"]
            return found

    def close(self) -> None:
        """Ends every process and removes what they left."""
        for child in reversed(self.children):
            child.stop(signal.SIGKILL)
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def waited_s(job: dict[str, Any]) -> float:
    """From a job's submission to its first attempt."""
    created, started = (datetime.fromisoformat(job[name]) for name in ("created_at", "started_at"))
    return (started - created).total_seconds()


@contextlib.contextmanager
def running(*, model: bool = True, cpu: bool = True, **settings: str) -> Iterator[Live]:
    """A Jobcast with one worker for each kind of queue."""
    with Live(redis=None, model=model, **settings) as live:
        if model:
            live.start_model()
        live.start_worker("llm")
        if cpu:
            live.start_worker("cpu,default", "prefork", 2)
        live.start_api()
        yield live
