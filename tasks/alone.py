"""Alone: the last attempt of a job whose worker died runs in a process of its own.

The jobs of a pool of threads die with their worker, and nobody can tell which of them has killed it. Tried again
together, they would use up their attempts together. Alone, none but the killer dies.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.process import BaseProcess
from typing import Final

from progress import collector
from progress.claims import Claims
from progress.settings import current
from tasks.attempt import runner
from tasks.drain import drain
from tasks.log import set_up_log

logger = logging.getLogger(__name__)

POLL_S: Final = 0.2
"""How often a worker looks whether it is to let go of what runs here."""
NOT_SERVED: Final = 3
"""The exit status of a process whose job another attempt holds."""

# One process that has everything imported and no threads is forked for each: some milliseconds, and some MB.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tasks.worker"])
# Starting one polls the others, which must not be closed meanwhile.
_starting = threading.Lock()


def is_suspect(claims: Claims, job_id: str) -> bool:
    """Whether a job has one attempt left, and the one before was lost. Raises StoreUnavailable."""
    job = claims.read(job_id)
    if job is None or job.attempt - job.handed_back != job.max_attempts - 1:
        return False
    if job.waiting_for:
        return False
    # While it runs its holder may live; if not, this attempt is lost by the next claim.
    return job.status == "running" or (job.status == "retrying" and claims.was_lost(job))


def run(job_id: str) -> bool | None:
    """Runs a job if it is to be run, and returns once its process has ended.

    Returns:
        Whether its message has served, as ``Runner.run`` says, and not where the process was killed: what it had begun
        is lost. None where no process can be made here.
    """
    try:
        with _starting:
            process = _processes.Process(target=_run, args=(job_id,), name="alone", daemon=True)
            process.start()
    except (OSError, EOFError) as error:
        logger.warning("job %s: no process for it alone: %s", job_id, error)
        return None
    _wait(process)
    if process.exitcode not in (0, NOT_SERVED):
        logger.warning("job %s: its process has ended with %s", job_id, process.exitcode)
    with _starting:
        served = process.exitcode == 0
        process.close()
    return served


def _wait(process: BaseProcess) -> None:
    while process.is_alive():
        process.join(POLL_S)
        if drain.is_over():
            process.terminate()


def _run(job_id: str) -> None:
    threading.Thread(target=_die_with_worker, name="die-with-worker", daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: drain.begin(0))
    # Ctrl-C reaches a whole group; it is the worker's to say when its jobs are to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_up_log()
    collector.spare(collect=False)
    ours = runner(current())
    ours.is_disposable = True
    served = ours.run(job_id)
    ours.close()
    sys.exit(0 if served else NOT_SERVED)


def _die_with_worker() -> None:
    # Not `die_with_parent`: its parent is the process that it was forked from, which stays while one of these does.
    worker = multiprocessing.parent_process()
    if worker:
        worker.join()
        os.kill(os.getpid(), signal.SIGKILL)
