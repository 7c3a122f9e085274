"""A storage in a bucket of S3, or of what speaks its protocol; wants the extra ``s3``.

Credentials, region and endpoint come from where boto3 looks: ``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, a profile, a
role.
"""

import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from progress.errors import BlobGone, StorageUnavailable
from progress.storage.blobs import CHUNK_BYTES, RECORD, Stored, Writer, checked, without_record

PART_BYTES: Final = 8 * 1024 * 1024
"""Of an upload in several parts, and so what a writer holds; S3 takes 10,000 of them, so 80 GB."""
PAGE: Final = 1000
"""As many objects S3 deletes at once."""
CONNECT_S, READ_S = 5, 30
_MISSING: Final = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchUpload"})


class S3Storage:
    """Keys are names of objects below a prefix.

    Args:
        bucket: which is there already.
        prefix: without slashes at its ends; may be empty.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self.bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def address(self) -> str:
        """See Storage."""
        return f"s3://{self.bucket}/{self._prefix}".rstrip("/")

    @cached_property
    def client(self) -> Any:
        """boto3's client, which threads may share; not before it is used: that takes a moment."""
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            max_pool_connections=32,
            retries={"mode": "standard", "max_attempts": 3},
            # Not every server that speaks the protocol knows the newer sums; ours is in the record.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        with self.translated():
            # A session of its own: the default one is not made for threads.
            return boto3.session.Session().client("s3", config=config)

    def at(self, path: str) -> dict[str, str]:
        """What names an object to the client."""
        return {"Bucket": self.bucket, "Key": f"{self._prefix}{path}"}

    @contextmanager
    def translated(self, key: str = "") -> Iterator[None]:
        """Errors of boto3 as ours."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING and key:
                raise BlobGone(key) from None
            raise StorageUnavailable(f"{self.address} refuses: {error}") from error
        except (BotoCoreError, OSError) as error:
            raise StorageUnavailable(f"{self.address} cannot be used: {error}") from error

    def writer(self, key: str) -> Writer:
        """See Storage."""
        return S3Writer(self, key)

    def stat(self, key: str) -> Stored | None:
        """See Storage."""
        try:
            with self.translated(checked(key)):
                return Stored.parse(self.client.get_object(**self.at(f"{key}{RECORD}"))["Body"].read())
        except BlobGone:
            return None

    def open(self, stored: Stored, start: int = 0, end: int | None = None) -> BinaryIO:
        """See Storage."""
        last = (stored.size if end is None else end) - 1
        with self.translated(stored.key):
            if start > last:
                self.client.head_object(**self.at(stored.blob))
                return io.BytesIO()
            got = self.client.get_object(**self.at(stored.blob), Range=f"bytes={start}-{last}")
        return cast(BinaryIO, Download(self, got["Body"]))

    @contextmanager
    def local(self, stored: Stored) -> Iterator[Path]:
        """See Storage. A copy, which goes with the context."""
        with tempfile.TemporaryDirectory(prefix="jobcast-") as folder, self.open(stored) as source:
            path = Path(folder) / "file"
            with path.open("wb") as copy:
                while chunk := source.read(CHUNK_BYTES):
                    copy.write(chunk)
            yield path

    def keys(self, prefix: str) -> Iterator[str]:
        """See Storage."""
        names = [path for path, _ in self._below(checked(prefix))]
        yield from sorted(path.removesuffix(RECORD) for path in names if path.endswith(RECORD))

    def delete(self, prefix: str) -> int:
        """See Storage. Records go first: what is being deleted is found by nobody."""
        found = [path for path, _ in self._below(checked(prefix))]
        records = [path for path in found if path.endswith(RECORD)]
        self.remove(records)
        self.remove(set(found) - set(records))
        return len(records)

    def remove(self, paths: Iterable[str]) -> None:
        """Deletes objects that may be gone already."""
        objects = [{"Key": self.at(path)["Key"]} for path in paths]
        with self.translated():
            for start in range(0, len(objects), PAGE):
                done = self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": objects[start : start + PAGE], "Quiet": True}
                )
                for error in done.get("Errors", ())[:1]:
                    raise StorageUnavailable(f"{self.address} does not delete: {error.get('Message')}")

    def tidy(self, older_than_s: float) -> int:
        """See Storage."""
        before = datetime.now(UTC) - timedelta(seconds=older_than_s)
        times = dict(self._listed(""))
        left = [path for path in without_record(self, times) if times[path] < before]
        self.remove(left)
        return len(left) + self._abort_uploads(before)

    def _abort_uploads(self, before: datetime) -> int:
        with self.translated():
            pages = self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=self._prefix
            )
            begun = [upload for page in pages for upload in page.get("Uploads", ()) if upload["Initiated"] < before]
            for upload in begun:
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return len(begun)

    def _below(self, key: str) -> Iterator[tuple[str, datetime]]:
        """What belongs to a key, and to all that begin with it."""
        yield from self._listed(f"{key}.")
        yield from self._listed(f"{key}/")

    def _listed(self, start: str) -> Iterator[tuple[str, datetime]]:
        with self.translated():
            whole = f"{self._prefix}{start}"
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=whole):
                for found in page.get("Contents", ()):
                    yield found["Key"].removeprefix(self._prefix), found["LastModified"]


class Download(io.RawIOBase):
    """The body of an answer as a file."""

    def __init__(self, storage: S3Storage, body: Any) -> None:
        super().__init__()
        self._storage = storage
        self._body = body

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes. Raises StorageUnavailable where the connection breaks."""
        with self._storage.translated():
            data: bytes = self._body.read(None if size < 0 else size)
        return data

    def close(self) -> None:
        """Lets go of the connection."""
        self._body.close()
        super().close()


class S3Writer(Writer):
    """Sends what comes in parts; small things at one go."""

    def __init__(self, storage: S3Storage, key: str) -> None:
        super().__init__(key)
        self._storage = storage
        self._held = bytearray()
        self._upload = ""
        self._parts: list[dict[str, Any]] = []

    def _write(self, chunk: bytes) -> None:
        self._held += chunk
        while len(self._held) >= PART_BYTES:
            part, self._held = bytes(self._held[:PART_BYTES]), self._held[PART_BYTES:]
            self._send(part)

    def _send(self, part: bytes) -> None:
        client, at = self._storage.client, self._storage.at(self.blob)
        with self._storage.translated():
            if not self._upload:
                self._upload = client.create_multipart_upload(**at)["UploadId"]
            number = len(self._parts) + 1
            sent = client.upload_part(**at, UploadId=self._upload, PartNumber=number, Body=part)
            self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _commit(self, stored: Stored) -> None:
        client, at = self._storage.client, self._storage.at(self.blob)
        before = self._storage.stat(self.key)
        if self._upload and self._held:
            self._send(bytes(self._held))
        with self._storage.translated():
            if self._upload:
                client.complete_multipart_upload(
                    **at, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
                )  # fmt: skip
                self._upload = ""
            else:
                client.put_object(**at, Body=bytes(self._held))
            client.put_object(**self._storage.at(f"{self.key}{RECORD}"), Body=stored.encode())
        if before:
            self._storage.remove([before.blob])

    def _abort(self) -> None:
        self._held.clear()
        if self._upload:
            # The janitor may have been there before.
            with suppress(BlobGone), self._storage.translated(self.key):
                self._storage.client.abort_multipart_upload(**self._storage.at(self.blob), UploadId=self._upload)
