"""Every error that `progress` raises.

JobcastError
├── CollectionFull         a collection of vectors would grow too large
├── CollectionMismatch     it holds vectors of another model, or of other dimensions
├── InvalidCursor          a reader's position cannot be read
├── InvalidSettings        a setting is unknown, malformed or contradicts another
├── JobNotFound            no record under this id
├── JobConflict            the job's state does not allow this
│   └── IdempotencyConflict   the key was used with another body
├── ScheduleNotFound       no schedule under this id
├── ScheduleConflict       a schedule cannot be kept, or not be deleted
├── StoreUnavailable       Redis cannot be reached, or refuses to write
│   └── Elsewhere             the node of a cluster that was asked does not have the job, or is not sure of it
├── StorageUnavailable     files cannot be read or written just now
├── BlobGone               a file was deleted or replaced since it was looked up
└── AttemptOver            this attempt may not write any more
    ├── AttemptStale          another attempt holds the job
    ├── LogClosed             the job has ended
    ├── AttemptReleased       its worker stops and hands the job back
    ├── AttemptTimeout        it took longer than its job allows
    └── JobCancelled          the job is to be cancelled; what was published stays
"""


class JobcastError(Exception):
    """Base of all errors raised here."""


class InvalidCursor(JobcastError):
    """A cursor is not one that this server gave out."""

    def __init__(self, cursor: str, wanted: str = "a whole number, -1 for from now on") -> None:
        super().__init__(f"{cursor!r} is no position in a log: give {wanted}")
        self.cursor = cursor


class CollectionFull(JobcastError):
    """A collection would grow larger than JOBCAST_MAX_COLLECTION_BYTES."""

    def __init__(self, name: str, most_bytes: int) -> None:
        super().__init__(
            f"the collection {name!r} would grow larger than {most_bytes} bytes: "
            "use another one, or raise JOBCAST_MAX_COLLECTION_BYTES"
        )


class CollectionMismatch(JobcastError):
    """Vectors of one collection can be compared with each other; these could not."""

    def __init__(self, name: str, model: str, dimensions: int) -> None:
        super().__init__(
            f"the collection {name!r} holds vectors of the model {model!r} with {dimensions} dimensions: "
            "use another one"
        )


class InvalidSettings(JobcastError):
    """A setting stops the start; the text is one line that names it and the mend."""


class JobNotFound(JobcastError):
    """There is no record of this job: never made, deleted, or past its time to live."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"no job {job_id}")
        self.job_id = job_id


class ScheduleNotFound(JobcastError):
    """There is no such schedule: never made, or deleted."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"no schedule {schedule_id}")
        self.schedule_id = schedule_id


class ScheduleConflict(JobcastError):
    """A schedule cannot be kept, or be deleted; the text says why."""


class JobConflict(JobcastError):
    """The job's status does not allow what was asked."""

    def __init__(self, job_id: str, status: str, wanted: str) -> None:
        super().__init__(f"job {job_id} is {status}: {wanted}")
        self.job_id = job_id
        self.status = status


class IdempotencyConflict(JobcastError):
    """An Idempotency-Key came again with another body."""

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(f"this key belongs to job {job_id}, which was submitted with another body")
        self.key = key
        self.job_id = job_id


class StoreUnavailable(JobcastError):
    """Redis cannot be reached in time, or answers that it cannot write (disk or memory full)."""


class Elsewhere(StoreUnavailable):
    """A node of a cluster does not have what was asked for, or is giving it to another one, or cannot tell."""


class StorageUnavailable(JobcastError):
    """The storage of files cannot be reached, or refuses (disk full, missing rights)."""


class BlobGone(JobcastError):
    """The bytes of a file were deleted or replaced since its record was read."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is gone")
        self.key = key


class AttemptOver(JobcastError):
    """Base of the answers that end an attempt's right to write."""


class AttemptStale(AttemptOver):
    """Another attempt holds the job; nothing of this one is written any more."""


class LogClosed(AttemptOver):
    """The job has ended; its log takes no more events."""


class JobCancelled(AttemptOver):
    """The job is to be cancelled. Raised in the task at its next publish."""


class AttemptTimeout(AttemptOver):
    """The attempt took longer than its job allows. Raised in the task at its next publish."""


class AttemptReleased(AttemptOver):
    """The worker is to stop: the job goes back to the queue, with its last checkpoint. Raised at the next publish."""


class AttemptWaits(AttemptOver):
    """The job waits for its children, and goes on with another attempt once they have ended. Raised by ``gather``."""

    def __init__(self, group: str) -> None:
        super().__init__(f"waits for {group}")
        self.group = group
