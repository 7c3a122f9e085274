"""What is kept where in a storage: files that clients upload, and artifacts that jobs make."""

import hashlib
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final
from urllib.parse import quote

from progress.jobs import uuid7
from progress.storage.blobs import Storage, Stored, put, read

FILES: Final = "files"
JOBS: Final = "jobs"
PARTS: Final = "parts"
USES: Final = "uses"
"""``uses/FILE/JOB`` says that a job needs a file: no bytes, only the record."""
MAX_NAME: Final = 128
FILE_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_NOT_IN_NAMES: Final = re.compile(r"[/\x00-\x1f\x7f-\x9f\u2028\u2029]")


def file_key(file_id: str) -> str:
    """The key of an uploaded file."""
    return f"{FILES}/{file_id}"


def find_file(storage: Storage, file_id: str) -> Stored | None:
    """An uploaded file, or None; also where this is no id at all. May raise StorageUnavailable."""
    return storage.stat(file_key(file_id)) if FILE_ID.fullmatch(file_id) else None


def check(storage: Storage) -> None:
    """Writes, reads and deletes something. Raises StorageUnavailable."""
    key = f"check/{uuid7()}"
    try:
        read(storage, put(storage, key, b"can it be written?", "check"))
    finally:
        storage.delete(key)


def add_file(storage: Storage, data: bytes | Path, name: str = "") -> str:
    """Puts a file where uploads are and returns its id: for scripts and tests, whose tasks take files.

    Args:
        name: that of the path where empty.
    """
    file_id = uuid7()
    put(storage, file_key(file_id), data, name or (data.name if isinstance(data, Path) else "file"))
    return file_id


def delete_file(storage: Storage, file_id: str) -> bool:
    """Deletes an uploaded file; False where there was none."""
    storage.delete(f"{USES}/{file_id}")
    return storage.delete(file_key(file_id)) > 0


def note_use(storage: Storage, file_id: str, job_id: str) -> None:
    """Keeps a file for as long as a job has not ended."""
    put(storage, f"{USES}/{file_id}/{job_id}", b"", job_id)


def users_of(storage: Storage, file_id: str) -> Iterator[str]:
    """The jobs that were submitted with a file."""
    return (key.rpartition("/")[2] for key in storage.keys(f"{USES}/{file_id}"))


def old_files(storage: Storage, before_ms: int) -> Iterator[str]:
    """The files whose upload began before a time, in milliseconds since 1970. Only their ids are looked at."""
    ids = (key.rpartition("/")[2] for key in storage.keys(FILES))
    return (file_id for file_id in ids if _is_older(file_id, before_ms))


def artifact_url(job_id: str, name: str) -> str:
    """Where the API has an artifact."""
    return f"/v1/jobs/{job_id}/artifacts/{quote(name, safe='')}"


def check_artifact_name(name: str) -> None:
    """Raises ValueError where an artifact cannot have this name."""
    if not 1 <= len(name) <= MAX_NAME or _NOT_IN_NAMES.search(name) or name in {".", ".."}:
        raise ValueError(
            f"{name[:200]!r} cannot be an artifact's name: use 1 to {MAX_NAME} characters, "
            "none of them '/' or a control character"
        )


def artifact_key(job_id: str, attempt: int, name: str) -> str:
    """The key of an artifact. Each attempt has its own, so that a stale one replaces nothing."""
    return f"{JOBS}/{job_id}/{attempt:06d}/{hashlib.sha256(name.encode()).hexdigest()[:40]}"


def add_artifact(
    storage: Storage, job_id: str, attempt: int, name: str, data: bytes | Path, media_type: str = ""
) -> Stored:
    """Stores what a job has made. Raises ValueError for its name, and as ``put``."""
    check_artifact_name(name)
    return put(storage, artifact_key(job_id, attempt, name), data, name, media_type)


def part_key(job_id: str, attempt: int, number: int) -> str:
    """The key of a part of what a job is still making, which its next attempt goes on from: no artifact yet."""
    return f"{PARTS}/{job_id}/{attempt:06d}-{number:08d}"


def find_artifact(storage: Storage, job_id: str, name: str) -> Stored | None:
    """That of the last attempt which has made one of this name. May raise StorageUnavailable."""
    digest = artifact_key(job_id, 0, name).rpartition("/")[2]
    keys = [key for key in storage.keys(f"{JOBS}/{job_id}") if key.endswith(f"/{digest}")]
    return storage.stat(keys[-1]) if keys else None


def artifacts(storage: Storage, job_id: str) -> Iterator[Stored]:
    """All artifacts of a job, of each name that of the last attempt; in the order in which they were made."""
    last = {key.rpartition("/")[2]: key for key in storage.keys(f"{JOBS}/{job_id}")}
    found = (storage.stat(key) for key in last.values())
    yield from sorted((stored for stored in found if stored), key=lambda stored: (stored.created_at, stored.name))


def jobs_with_artifacts(storage: Storage, before_ms: int) -> Iterator[str]:
    """The ids of all jobs that were submitted before a time, and have made something, or have begun to."""
    for shelf in (JOBS, PARTS):
        ids = (job_id for job_id, _ in groupby(key.split("/")[1] for key in storage.keys(shelf)))
        yield from (job_id for job_id in ids if _is_older(job_id, before_ms))


def _is_older(uuid: str, before_ms: int) -> bool:
    """Whether a UUID version 7 was made before a time: its first digits are that time's."""
    return uuid < uuid7(before_ms)[:13]


def delete_artifacts(storage: Storage, job_id: str) -> int:
    """Removes them all, also what was to become one, and says how many there were."""
    delete_parts(storage, job_id)
    return storage.delete(f"{JOBS}/{job_id}")


def delete_parts(storage: Storage, job_id: str) -> None:
    """Removes what was to become an artifact."""
    storage.delete(f"{PARTS}/{job_id}")
