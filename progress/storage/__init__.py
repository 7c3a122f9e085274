"""Files: bytes that clients bring and jobs make, in a directory or in S3, each with a record beside it. No Redis."""

from progress.storage.blobs import Storage, Stored, Writer, put, read
from progress.storage.local import LocalStorage
from progress.storage.opening import open_storage
from progress.storage.shelves import (
    FILE_ID,
    add_artifact,
    add_file,
    artifact_url,
    artifacts,
    check,
    delete_artifacts,
    delete_file,
    delete_parts,
    file_key,
    find_artifact,
    find_file,
    jobs_with_artifacts,
    note_use,
    old_files,
    part_key,
    users_of,
)

__all__ = [
    "FILE_ID",
    "LocalStorage",
    "Storage",
    "Stored",
    "Writer",
    "add_artifact",
    "add_file",
    "artifact_url",
    "artifacts",
    "check",
    "delete_artifacts",
    "delete_file",
    "delete_parts",
    "file_key",
    "find_artifact",
    "find_file",
    "jobs_with_artifacts",
    "note_use",
    "old_files",
    "open_storage",
    "part_key",
    "put",
    "read",
    "users_of",
]
