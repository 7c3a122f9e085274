"""What every storage promises, and what is kept where."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import EndpointConnectionError

from progress.errors import BlobGone, InvalidSettings, StorageUnavailable
from progress.jobs import uuid7
from progress.storage import (
    LocalStorage,
    Storage,
    add_artifact,
    add_file,
    artifacts,
    delete_artifacts,
    find_artifact,
    find_file,
    open_storage,
    opening,
    put,
    read,
)
from progress.storage.s3 import PART_BYTES, S3Storage
from server.embedded import LOOPBACK
from tests.support.api import settings

JOB = "01a20103-7185-7369-83dc-a7eae9770ba9"


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3Storage]:
    """A bucket on a server that speaks S3's protocol, where boto3 finds it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(LOOPBACK, 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        _, port = server.get_host_and_port()
        environment.setenv("AWS_ENDPOINT_URL", f"http://{LOOPBACK}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        whole = S3Storage("bucket")
        whole.client.create_bucket(Bucket="bucket")
        yield whole
    server.stop()


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.integration)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path / "files")
    made = S3Storage("bucket", f"some/{uuid7()}")
    # To make one takes longer than all that it does here.
    made.__dict__["client"] = request.getfixturevalue("bucket").client
    return made


def content(storage: Storage, key: str) -> bytes | None:
    stored = storage.stat(key)
    return None if stored is None else read(storage, stored)


def test_what_is_stored_is_found_with_its_record(storage: Storage) -> None:
    stored = put(storage, "files/a", b"hello", "a \u2028name\ud800.txt")
    assert storage.stat("files/a") == stored
    assert (stored.name, stored.media_type, stored.size) == ("a \u2028name\ufffd.txt", "text/plain", 5)
    assert stored.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert read(storage, stored) == b"hello"


def test_what_is_not_there_is_none(storage: Storage) -> None:
    assert storage.stat("files/a") is None
    assert list(storage.keys("files")) == []
    assert storage.delete("files") == 0


@pytest.mark.parametrize("key", ["", "../a", "a/../b", "/a", "a/", "A", "a.json", "a\x00", "a//b", "ü"])
def test_no_key_leads_out_of_the_storage(storage: Storage, key: str) -> None:
    for use in (storage.stat, storage.writer, storage.delete, lambda bad: list(storage.keys(bad))):
        with pytest.raises(ValueError, match="is no key"):
            use(key)


def test_a_part_is_read_from_a_place_to_another(storage: Storage) -> None:
    stored = put(storage, "files/a", b"0123456789", "digits")
    for start, end, part in ((0, 3, b"012"), (7, None, b"789"), (4, 5, b"4"), (3, 3, b"")):
        with storage.open(stored, start, end) as file:
            assert file.read(2) + file.read() == part


def test_what_is_not_committed_is_seen_by_nobody(storage: Storage) -> None:
    with storage.writer("files/a") as writer:
        writer.write(b"half")
        assert storage.stat("files/a") is None
    assert storage.stat("files/a") is None
    assert storage.tidy(-60) == 0


def test_the_last_one_of_a_key_counts_and_the_one_before_leaves_nothing(storage: Storage) -> None:
    before = put(storage, "files/a", b"before", "a")
    put(storage, "files/a", b"after", "a")
    assert content(storage, "files/a") == b"after"
    with pytest.raises(BlobGone):
        storage.open(before)
    with pytest.raises(BlobGone), storage.local(before):
        pass
    assert storage.tidy(-60) == 0


def test_keys_are_listed_and_deleted_by_their_first_parts(storage: Storage) -> None:
    for key in ("jobs/b/1", "jobs/a/2", "jobs/a/1", "jobs/a", "jobs/ab/1"):
        put(storage, key, key.encode(), "name")
    assert list(storage.keys("jobs/a")) == ["jobs/a", "jobs/a/1", "jobs/a/2"]
    assert storage.delete("jobs/a") == 3
    assert list(storage.keys("jobs")) == ["jobs/ab/1", "jobs/b/1"]
    assert content(storage, "jobs/ab/1") == b"jobs/ab/1"


def test_a_file_of_this_machine_has_the_bytes_while_it_is_used(storage: Storage) -> None:
    stored = put(storage, "files/a", b"hello", "a")
    with storage.local(stored) as path:
        assert path.read_bytes() == b"hello"


def test_what_comes_in_many_pieces_is_one(storage: Storage) -> None:
    pieces = [bytes([number]) * (PART_BYTES * 2 // 3) for number in range(4)]
    with storage.writer("files/a") as writer:
        for piece in pieces:
            writer.write(piece)
        stored = writer.commit("a")
    whole = b"".join(pieces)
    assert (stored.size, stored.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    with storage.open(stored, PART_BYTES - 10, PART_BYTES + 10) as file:
        assert file.read() == whole[PART_BYTES - 10 : PART_BYTES + 10]
    with storage.local(stored) as path:
        assert path.read_bytes() == whole


def test_what_a_dead_writer_has_left_is_tidied_away_in_time(storage: Storage) -> None:
    kept = put(storage, "files/kept", b"kept", "kept")
    with storage.writer("files/dead") as dead:
        dead.write(bytes(PART_BYTES))
        # Of moto every upload was begun in 2010.
        assert isinstance(storage, S3Storage) or storage.tidy(60) == 0
        assert storage.tidy(-60) == 1
    assert read(storage, kept) == b"kept"


@pytest.mark.parametrize("more", [0, 1, 2])
@pytest.mark.parametrize("is_kept", [True, False])
def test_bytes_that_no_record_knows_are_tidied_away(tmp_path: Path, more: int, is_kept: bool) -> None:
    """A process has died between two steps of a commit, or of a delete."""
    storage = LocalStorage(tmp_path)
    stored = put(storage, "files/a", b"known", "a")
    for number in range(more):
        (tmp_path / f"files/a.{number}").write_bytes(b"unknown")
    if not is_kept:
        (tmp_path / "files/a.json").unlink()
    assert storage.tidy(-60) == more + (not is_kept)
    assert storage.stat("files/a") == (stored if is_kept else None)
    assert (tmp_path / stored.blob).exists() is is_kept


def test_a_file_is_found_by_its_id_and_by_nothing_else(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "report.csv").write_text("a,b\n1,2\n")
    file_id = add_file(storage, tmp_path / "report.csv")
    stored = find_file(storage, file_id)
    assert stored
    assert (stored.name, stored.media_type) == ("report.csv", "text/csv")
    assert [find_file(storage, other) for other in (file_id[:-1], "../x", "", file_id.upper())] == [None] * 4


def test_the_last_attempt_that_has_made_an_artifact_counts(storage: Storage) -> None:
    add_artifact(storage, JOB, 1, "early.txt", b"1")
    add_artifact(storage, JOB, 10, "both.txt", b"10")
    add_artifact(storage, JOB, 2, "both.txt", b"2, which is stale")
    assert {(stored.name, stored.size) for stored in artifacts(storage, JOB)} == {("early.txt", 1), ("both.txt", 2)}
    found = find_artifact(storage, JOB, "both.txt")
    assert found
    assert read(storage, found) == b"10"
    assert find_artifact(storage, JOB, "other.txt") is None
    assert delete_artifacts(storage, JOB) == 3
    assert list(artifacts(storage, JOB)) == []


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "a\x00", "x" * 129, "..", "a\u2028b"])
def test_some_names_no_artifact_can_have(tmp_path: Path, name: str) -> None:
    storage = LocalStorage(tmp_path)
    with pytest.raises(ValueError, match="cannot be an artifact's name"):
        add_artifact(storage, JOB, 1, name, b"")
    assert list(artifacts(storage, JOB)) == []


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageUnavailable, match="files cannot be kept in"):
        put(LocalStorage(tmp_path / "file"), "files/a", b"", "a")


@pytest.mark.integration
def test_a_bucket_that_is_not_there_is_told(bucket: S3Storage) -> None:
    other = S3Storage("other")
    other.__dict__["client"] = bucket.client
    for use in (lambda: put(other, "files/a", b"", "a"), lambda: list(other.keys("files")), lambda: other.tidy(0)):
        with pytest.raises(StorageUnavailable, match="s3://other refuses"):
            use()


def test_a_server_that_is_not_there_is_told() -> None:
    def away(**_asked: str) -> None:
        raise EndpointConnectionError(endpoint_url="http://s3.test")

    storage = S3Storage("bucket")
    storage.__dict__["client"] = SimpleNamespace(get_object=away)
    with pytest.raises(StorageUnavailable, match="s3://bucket cannot be used: Could not connect"):
        storage.stat("files/a")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("", str(Path.cwd() / ".jobcast/files")),
        ("file:///var/lib/job%20cast", "/var/lib/job cast"),
        ("s3://bucket/some/prefix/", "s3://bucket/some/prefix"),
        ("s3://bucket", "s3://bucket"),
    ],
)
def test_a_setting_says_which_storage(url: str, address: str) -> None:
    assert open_storage(settings(storage_url=url)).address == address


def test_without_its_extra_s3_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda _name: None)
    with pytest.raises(InvalidSettings, match=r"JOBCAST_STORAGE_URL: .* pip install 'jobcast\[s3\]'"):
        open_storage(settings(storage_url="s3://bucket"))
