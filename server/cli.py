"""The command `jobcast`: the processes of a deployment, and a client for people and scripts."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import progress
import server
from server.exits import FAILED, OK, USAGE, complain


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    if (foreign := foreign_progress(Path(progress.__file__ or ""), dir(progress))) is not None:
        return complain(foreign, FAILED)
    from progress.errors import InvalidSettings
    from server.processes import StartError

    parsed = parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except InvalidSettings as error:
        return complain(str(error), USAGE)
    except StartError as error:
        return complain(str(error), FAILED)
    return status


def foreign_progress(file: Path, names: Sequence[str]) -> str | None:
    """What is wrong if `progress` is the package of that name on PyPI, and not ours.

    Args:
        file: where the package was found.
        names: what it defines; theirs, installed over ours, lies in the same place.
    """
    if file.parent.parent == Path(server.__file__).parent.parent and "Infinite" not in names:
        return None
    return (
        f"the package `progress` in {file.parent.parent} is not Jobcast's: pip uninstall progress, then "
        "pip install --force-reinstall jobcast; or leave that directory"
    )


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from server import remote

    root = argparse.ArgumentParser(prog="jobcast", description="A real-time progress-streaming job server.")
    root.add_argument("--version", action=_Version, nargs=0, help="say which version this is, and exit")
    commands = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_processes(commands)
    remote.add_to(commands)
    _command(commands, "doctor", _doctor, "check Redis, broker, workers, model server and settings")
    return root


class _Version(argparse.Action):
    """Looks it up when it is asked for, which takes longer than all that others need of this module."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"jobcast {version('jobcast')}\n")
        parser.exit(OK)


def _add_processes(commands: Any) -> None:
    up = _command(commands, "up", _up, "Redis, workers, scheduler, API and page in one terminal")
    up.add_argument("--leashed", action="store_true", help="stop when the process that started this is gone")
    api = _command(commands, "api", _api, "the HTTP API and the page")
    api.add_argument("--shared-port", action="store_true", help="one process, beside others on the same port")
    worker = _command(commands, "worker", _worker, "a process that runs jobs")
    worker.add_argument("--queues", type=_names, default=(), help="serve these, comma-separated, not all")
    worker.add_argument("--except-queues", type=_names, default=(), help="serve all but these")
    worker.add_argument("--pool", choices=("prefork", "threads", "solo"), help="how it runs jobs at once")
    worker.add_argument("--concurrency", type=_count, help="jobs at once")
    beat = _command(commands, "beat", _beat, "the scheduler; more than one do no harm")
    flower = _command(commands, "flower", _flower, "Celery's monitor, a page of its own")
    flower.add_argument("--host", default="127.0.0.1", help="where it listens")
    flower.add_argument("--port", type=int, default=5555, help="its port; 0 takes a free one")
    beat.add_argument("--schedule", type=Path, default=Path(".jobcast/beat"), help="its file of last runs")


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    made.set_defaults(run=run)
    return made


def _up(parsed: argparse.Namespace) -> int:
    from progress import process, settings
    from server import up

    if parsed.leashed:
        process.die_with_parent(signum=signal.SIGTERM)
    up.run(settings.current())
    return OK


def _api(parsed: argparse.Namespace) -> int:
    from progress import settings
    from server import main, several

    current = settings.current()
    _need_redis()
    if current.workers > 1 and not parsed.shared_port:
        several.run(current)
        return OK
    _find_task_modules()
    main.run(current, shared_port=parsed.shared_port)
    return OK


def _worker(parsed: argparse.Namespace) -> int:
    from progress import settings
    from tasks.app import load_kinds, queue_names
    from tasks.main import run_worker

    _need_redis()
    _find_task_modules()
    load_kinds(settings.current())
    served = [name for name in parsed.queues or queue_names() if name not in parsed.except_queues]
    if not served:
        return complain("--except-queues leaves no queue to serve", USAGE)
    run_worker(served, parsed.pool, parsed.concurrency)
    return OK


def _beat(parsed: argparse.Namespace) -> int:
    from tasks.main import run_beat

    _need_redis()
    _find_task_modules()
    run_beat(parsed.schedule)
    return OK


def _flower(parsed: argparse.Namespace) -> int:
    from tasks.main import run_flower

    _need_redis()
    _find_task_modules()
    run_flower(parsed.host, parsed.port)
    return OK


def _doctor(_parsed: argparse.Namespace) -> int:
    from server.doctor import run

    _find_task_modules()
    return run()


def _need_redis() -> None:
    """Raises InvalidSettings where a process that is started by itself would not know its Redis."""
    from progress.errors import InvalidSettings
    from progress.settings import current

    if not current().redis_url:
        mend = "set it, as in redis://127.0.0.1:6379/0, or run `jobcast up`, which brings a Redis along"
        raise InvalidSettings(f"JOBCAST_REDIS_URL is not set: {mend}")


def _find_task_modules() -> None:
    """Lets JOBCAST_TASKS name modules of the current directory, after everything that is installed."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
