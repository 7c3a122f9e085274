"""The janitor: removes files that nobody may use any more. It comes once an hour, with the scheduler.

It removes only what it is sure of. Where Redis is away, or has crashed just now and may still hear of a job, it leaves
all as it is.
"""

import logging
import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

from progress.claims import Claims
from progress.errors import StorageUnavailable, StoreUnavailable
from progress.storage import (
    Storage,
    delete_artifacts,
    delete_file,
    find_file,
    jobs_with_artifacts,
    old_files,
    users_of,
)

logger = logging.getLogger(__name__)

GRACE_S: Final = 60.0
"""After a file's time, for a submission that came just before it and has not noted yet that it needs the file."""
LEFT_S: Final = 24 * 3600.0
"""What nobody has finished writing for this long, nobody will."""
AT_ONCE: Final = 500


class Janitor:
    """Goes through a storage.

    Args:
        files_ttl_s: how long an uploaded file stays; longer where a job that has not ended names it.
        result_ttl_s: how long a job's record stays after its end. Nothing of a younger job is removed here: where there
            is no record of one, somebody has deleted it, and its artifacts with it, or this is the wrong Redis.
    """

    def __init__(self, storage: Storage, claims: Claims, *, files_ttl_s: float, result_ttl_s: float) -> None:
        self._storage = storage
        self._claims = claims
        self._files_ttl_s = files_ttl_s
        self._result_ttl_s = result_ttl_s

    def clean(self) -> None:
        """One round. What cannot be told now waits for the next one."""
        try:
            files = sum(1 for file_id in self._unneeded_files() if delete_file(self._storage, file_id))
            jobs = sum(1 for job_id in self._jobs_that_are_gone() if delete_artifacts(self._storage, job_id))
            left = self._storage.tidy(LEFT_S)
        except (StoreUnavailable, StorageUnavailable) as error:
            logger.warning("files are not cleaned up now: %s", error)
            return
        logger.info("removed: %d files, artifacts of %d jobs, %d leftovers", files, jobs, left)

    def _unneeded_files(self) -> Iterator[str]:
        before_ms = _ago_ms(self._files_ttl_s + GRACE_S)
        for file_id in old_files(self._storage, before_ms):
            stored = find_file(self._storage, file_id)
            # Its id is from when its upload began, its time from when it had ended.
            if stored and stored.created_at < before_ms and not self._is_needed(file_id):
                yield file_id

    def _is_needed(self, file_id: str) -> bool:
        jobs = map(self._claims.read, users_of(self._storage, file_id))
        return any(job is not None and not job.ended for job in jobs)

    def _jobs_that_are_gone(self) -> Iterator[str]:
        jobs = jobs_with_artifacts(self._storage, _ago_ms(self._result_ttl_s))
        while some := tuple(islice(jobs, AT_ONCE)):
            for job_id in self._claims.unknown(some):
                # Asked once more: only this answer is not given while others may still write the job again.
                if self._claims.read(job_id) is None:
                    yield job_id


def _ago_ms(seconds: float) -> int:
    return round((time.time() - seconds) * 1000)
