"""A real RabbitMQ for tests: its own ports, node and directory, and never left behind."""

import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from server.embedded import LOOPBACK, free_port
from tests.support.raw_server import CERTIFICATE
from tests.support.server_process import ServerProcess

START_S: Final = 60.0
COOKIE: Final = "jobcast-tests"
HEADER: Final = b"AMQP\x00\x00\x09\x01"
START_FRAME: Final = b"\x01\x00\x00"
"""What an answer to that begins with: a method, on channel 0."""
DEBIANS: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The server itself. What Debian has on the PATH changes the user first, and sends the output elsewhere."""


def find_server() -> Path | None:
    """The script that becomes the server."""
    found = shutil.which("rabbitmq-server")
    return DEBIANS if DEBIANS.exists() else Path(found) if found else None


def find_caller() -> Path | None:
    """Erlang's small program that calls a function of a running node."""
    erl = shutil.which("erl")
    found = Path(erl).resolve().with_name("erl_call") if erl else None
    return found if found and found.exists() else None


class RabbitServer(ServerProcess):
    """One server process. A context manager; the test is skipped where RabbitMQ is not installed.

    It goes with the process that started it, also when that one is killed with -9 (``server/leash.py``). There is no
    epmd, which is a daemon and would stay: the port at which other nodes find this one is known beforehand.
    """

    def __init__(self) -> None:
        server, caller = find_server(), find_caller()
        if server is None or caller is None:
            pytest.skip("RabbitMQ is not installed: apt-get install rabbitmq-server")
        self._server, self._caller = server, caller
        super().__init__("jobcast-rabbit-")
        self.port = free_port()
        self._tls_port = free_port()
        self._control_port = free_port()
        self._vhosts = 0
        self._calls = itertools.count(1)

    @property
    def url(self) -> str:
        """Its address, with the virtual host that it begins with."""
        return self._url("%2F")

    @property
    def tls_url(self) -> str:
        """The same with TLS; ``raw_server.CERTIFICATE`` is what it shows."""
        return self.url.replace("amqp:", "amqps:").replace(f":{self.port}", f":{self._tls_port}")

    def new_url(self) -> str:
        """Its address with a virtual host of one's own, which is empty."""
        self._vhosts += 1
        name = f"test-{self._vhosts}"
        self.evaluate(f'rabbit_vhost:add(<<"{name}">>, <<"tests">>)')
        everything = ", ".join(['<<".*">>'] * 3)
        allowed = f'<<"guest">>, <<"{name}">>, {everything}, <<"tests">>'
        self.evaluate(f"rabbit_auth_backend_internal:set_permissions({allowed})")
        return self._url(name)

    def _url(self, vhost: str) -> str:
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}/{vhost}"

    @property
    def version(self) -> tuple[int, ...]:
        """Such as 3, 10, 8."""
        return tuple(int(part) for part in self.evaluate("rabbit_misc:version()").strip('"').split("."))

    @property
    def output(self) -> str:
        """Everything that it has printed: its log."""
        return (self.directory / "output").read_text(errors="replace")

    def start(self) -> None:
        self._write_config()
        # It becomes the server, in the process that is watched over, where it is told that it may read input.
        leash = (sys.executable, "-m", "server.leash", str(os.getpid()), str(self._server), "-noinput")
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                leash, env=self._env(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"no RabbitMQ for the tests:\n{self.output[-3000:]}")
            time.sleep(0.02)
        # Once a minute it would miss the epmd, and start one.
        self.evaluate("supervisor:terminate_child(rabbit_sup, rabbit_epmd_monitor_sup)")

    def _write_config(self) -> None:
        lines = (
            f"listeners.tcp.1 = {LOOPBACK}:{self.port}",
            f"listeners.ssl.1 = {LOOPBACK}:{self._tls_port}",
            *(f"ssl_options.{name}file = {CERTIFICATE}" for name in ("cert", "key", "cacert")),
            "log.console = true",
            "log.file = false",
        )
        (self.directory / "rabbitmq.conf").write_text("".join(f"{line}\n" for line in lines))
        (self.directory / "enabled_plugins").write_text("[].\n")

    def _env(self) -> dict[str, str]:
        node = f"-sname jobcast@localhost -setcookie {COOKIE} -start_epmd false -erl_epmd_port {self._control_port}"
        ours = {
            "HOME": str(self.directory),
            "ERL_CRASH_DUMP": str(self.directory / "crash"),
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_NODENAME": "jobcast@localhost",
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{node} -kernel inet_dist_use_interface {{127,0,0,1}}",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return {**inherited, **ours}

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=5) as probe:
                probe.sendall(HEADER)
                return probe.recv(len(START_FRAME)) == START_FRAME
        except OSError:
            return False

    def evaluate(self, expression: str) -> str:
        """The value of an Erlang expression inside the server, as a term."""
        # A name of its own for each call: by default all are one node, and a server that has not yet seen the call
        # before go refuses the next.
        name = f"caller{next(self._calls)}"
        node = ("-h", name, "-c", COOKIE, "-address", f"{LOOPBACK}:{self._control_port}")
        done = subprocess.run(
            (str(self._caller), *node, "-e"),
            input=f"{expression}.\n",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        answer = done.stdout.strip()
        assert answer.startswith("{ok, "), f"{expression}: {answer or done.stderr}"
        return answer[len("{ok, ") : -1]

    def set(self, name: str, value: object) -> None:
        """Changes a setting while it runs; connections that are open may keep the old one."""
        self.evaluate(f"application:set_env(rabbit, {name}, {value})")

    def cut_all(self) -> None:
        """Closes every connection of every client."""
        self.evaluate('rabbit_networking:close_all_connections("cut by a test")')

    def delete_queues(self) -> None:
        """Takes every queue away, with its messages, and from under its consumers."""
        self.evaluate('[rabbit_amqqueue:delete(Queue, false, false, <<"tests">>) || Queue <- rabbit_amqqueue:list()]')

    def has_room(self, room: bool) -> None:
        """Without, it raises its alarm for memory, and takes no messages."""
        self.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({0.4 if room else '0.00001'})")

    def stop(self) -> None:
        """Ends it in order: it says goodbye to its clients."""
        if self._process:
            self._process.terminate()
            self._process.wait(START_S)
            self._process = None
