"""Who is measured: Jobcast, and what one would use instead."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from bench.build import program
from bench.processes import ROOT
from bench.site import Site
from server.embedded import LOOPBACK

Speech = Literal["publisher", "publish", "set", "http", "own"]
NODE: Final = ROOT / "bench" / "node"
NCHAN: Final = tuple(
    Path(folder) / "ngx_nchan_module.so" for folder in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules")
)


@dataclass(frozen=True)
class Peer:
    """A server, how tokens get to it, and where its readers ask.

    ``speech``: by Jobcast's Publisher, by Redis's PUBLISH or SET, by an HTTP POST, or made by the server itself.
    Targets are templates; ``{s}`` is the name of a stream.
    """

    name: str
    about: str
    command: Callable[[Site], Sequence[str | Path]]
    speech: Speech = "publish"
    stream: str = "s:{s}"
    target: str = "/s/{s}"
    socket_target: str | None = None
    replay_target: str | None = None
    env: Callable[[Site], dict[str, str]] = lambda _site: {}
    resumes: bool = False
    missing: Callable[[], str | None] = field(default=lambda: None)
    own_process: bool = True
    """False for a raw hop: Redis itself is what readers connect to."""


def _jobcast(site: Site) -> dict[str, str]:
    return {
        "JOBCAST_REDIS_URL": site.redis_url,
        "JOBCAST_PORT": str(site.port),
        "JOBCAST_MAX_STREAMS": "50000",
        "JOBCAST_LOG_LEVEL": "warning",
        "JOBCAST_LLM_BASE_URL": f"http://{LOOPBACK}:9/v1",
    }


def _design(name: str, about: str, **options: object) -> Peer:
    def command(site: Site) -> Sequence[str]:
        return [*_uvicorn(site), "bench.designs:app"]

    def env(site: Site) -> dict[str, str]:
        return {"BENCH_REDIS_URL": site.redis_url, "BENCH_DESIGN": name}

    return Peer(f"tutorial {name}", about, command, env=env, **options)  # type: ignore[arg-type]


def _uvicorn(site: Site) -> list[str]:
    quiet = ["--log-level", "error", "--no-access-log", "--backlog", "4096"]
    return [sys.executable, "-m", "uvicorn", "--host", LOOPBACK, "--port", str(site.port), *quiet]


def _nchan(site: Site) -> Sequence[str | Path]:
    config = site.folder / "nginx.conf"
    module = next(path for path in NCHAN if path.exists())
    scratch = "\n".join(
        f"{kind}_temp_path {site.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(f"""
load_module {module};
daemon off; master_process on; worker_processes 1; worker_rlimit_nofile 60000;
pid {site.folder}/nginx.pid; error_log {site.folder}/nginx.log error;
events {{ worker_connections 30000; }}
http {{
  access_log off; keepalive_requests 1000000000; tcp_nodelay on; nchan_shared_memory_size 512m;
  {scratch}
  server {{
    listen {LOOPBACK}:{site.port} backlog=4096;
    location ~ ^/say/(.+)$ {{
      nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 5000; nchan_message_timeout 10m;
    }}
    location ~ ^/s/(.+)$ {{ nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest; }}
    location ~ ^/old/(.+)$ {{
      nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message oldest;
    }}
    location ~ ^/ws/(.+)$ {{ nchan_subscriber websocket; nchan_channel_id $1; nchan_subscriber_first_message newest; }}
  }}
}}
""")
    return ["nginx", "-p", site.folder, "-c", config]


def _no_nchan() -> str | None:
    if shutil.which("nginx") and any(path.exists() for path in NCHAN):
        return None
    return "nginx with nchan is not installed: apt-get install nginx libnginx-mod-nchan"


def _no_node() -> str | None:
    if not shutil.which("node"):
        return "node is not installed"
    if not (NODE / "node_modules" / "resumable-stream").is_dir():
        return "resumable-stream is not installed: npm ci --prefix bench/node"
    return None


def _no_uvicorn() -> str | None:
    return None if importlib.util.find_spec("uvicorn") else "uvicorn is not installed"


PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer(
            "jobcast",
            "this server, `jobcast api`: log, positions, resume, fencing",
            lambda _site: [sys.executable, "-m", "server.cli", "api"],
            "publisher",
            target="/v1/jobs/{s}/events?after=-1",
            socket_target="/v1/jobs/{s}/ws?after=-1",
            replay_target="/v1/jobs/{s}/events?after=0",
            env=_jobcast,
            resumes=True,
        ),
        Peer(
            "nchan",
            "nginx with nchan, in C, one worker process, messages in its own memory",
            _nchan,
            "http",
            stream="/say/{s}",
            socket_target="/ws/{s}",
            replay_target="/old/{s}",
            missing=_no_nchan,
            resumes=True,
        ),
        Peer(
            "floor",
            "the least in C: no log, no positions, no resume",
            lambda site: [program("floor"), "--port", str(site.port), "--redis", str(site.redis_port)],
        ),
        _design("A", "FastAPI and sse-starlette; each client looks at a key twice a second", speech="set"),
        _design("B", "FastAPI and sse-starlette; each client has a pub/sub connection to Redis"),
        _design("C", "FastAPI and sse-starlette; one pub/sub connection, a queue a client", socket_target="/ws/{s}"),
        Peer(
            "resumable-stream",
            "npm's resumable-stream on Node.js, the producer in the same process",
            lambda site: ["node", NODE / "server.js", str(site.port)],
            "own",
            env=lambda site: {"REDIS_URL": site.redis_url},
            missing=_no_node,
        ),
        Peer(
            "raw hop",
            "no server: a reader on Redis's pub/sub itself, to the same Publisher",
            lambda _site: ["sleep", "3600"],
            "publisher",
            target="SUBSCRIBE {jobcast}:live:{s}",
            own_process=False,
        ),
    )
}
