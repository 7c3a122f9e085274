"""Files in and out, and what jobs have made."""

import hashlib
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from progress.storage import LocalStorage, add_artifact, add_file, users_of
from tasks.fields import FileId
from tasks.progress import Progress
from tasks.registry import Kind
from tests.support.api import Api, FakeQueue, api_with


class ReadInput(BaseModel):
    """What to read."""

    file: FileId
    more: list[FileId] = []


def read_file(_task_input: ReadInput, _progress: Progress) -> None:
    """Reads it."""


READ = Kind("read", read_file, ReadInput, "cpu", None, None, (1.0, 60.0), "Read", "")
FORM = {"Content-Type": "multipart/form-data; boundary=XX"}


def form(*parts: tuple[str, bytes]) -> bytes:
    return b"".join(b"--XX\r\n%b\r\n\r\n%b\r\n" % (head.encode(), body) for head, body in parts) + b"--XX--\r\n"


def part(name: str = "file", filename: str = "x.pdf") -> str:
    return f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: application/pdf'


def kept(api: Api) -> list[Path]:
    """Every file below the storage."""
    storage = api.state.files.storage
    assert isinstance(storage, LocalStorage)
    return [path for path in storage.root.rglob("*") if path.is_file()]


async def uploaded(api: Api, content: bytes, name: str = "x") -> dict[str, Any]:
    answer = await api.client.post("/v1/files", content=content, params={"name": name})
    assert answer.status_code == 201, answer.text
    seen: dict[str, Any] = answer.json()
    return seen


async def test_a_form_is_stored_and_found(api: Api) -> None:
    answer = await api.client.post("/v1/files", content=form((part(), b"text\r\n--X")), headers=FORM)
    seen = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, seen["links"]["self"])
    assert (seen["name"], seen["media_type"], seen["size"]) == ("x.pdf", "text/plain", 9)
    assert (await api.client.get(answer.headers["location"])).json() == seen
    assert (await api.client.get(seen["links"]["content"])).content == b"text\r\n--X"


async def test_a_large_file_comes_whole_through_many_pieces(api: Api) -> None:
    content = bytes(range(256)) * 13_000
    seen = await uploaded(api, content, "large")
    assert (seen["size"], seen["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert (await api.client.get(seen["links"]["content"])).content == content


async def test_a_file_that_is_deleted_is_gone(api: Api) -> None:
    seen = await uploaded(api, b"hello")
    assert (await api.client.delete(seen["links"]["self"])).status_code == 204
    assert kept(api) == []
    for method, address in (("GET", "self"), ("GET", "content"), ("DELETE", "self")):
        answer = await api.client.request(method, seen["links"][address])
        assert (answer.status_code, answer.json()["code"]) == (404, "file_not_found")


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"x" * 2000, {}, 413),
        (form((part(), b"x" * 2000)), FORM, 413),
        (form((part("other"), b"x")), FORM, 422),
        (form((part(), b"x"), (part(), b"y")), FORM, 422),
        (b"--XX--\r\n", FORM, 422),
        (form((part(), b"x"))[:-4], FORM, 400),
        (b"no form", FORM, 400),
        (b"", {"Content-Type": "multipart/form-data"}, 400),
        (b"", {"Content-Type": f"multipart/form-data; boundary={'X' * 300}"}, 400),
        (b"", {}, 422),
        (b"x", {"Origin": "http://elsewhere.test"}, 403),
    ],
)
async def test_what_cannot_be_taken_leaves_nothing(content: bytes, headers: dict[str, str], status: int) -> None:
    async with api_with(max_file_bytes=1024) as api:
        answer = await api.client.post("/v1/files", content=content, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert kept(api) == []


async def test_a_body_of_unknown_length_is_refused_as_soon_as_it_is_too_large() -> None:
    async with (
        api_with(max_file_bytes=1024) as api,
        api.exchange(
            "/v1/files", method="POST", body=b"x" * 1000, headers={"Transfer-Encoding": "chunked"}, more_body=True
        ) as exchange,
    ):
        exchange.tell({"type": "http.request", "body": b"x" * 1000, "more_body": True})
        await exchange.end()
        assert exchange.status == 413
        assert kept(api) == []


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(api: Api) -> None:
    async with api.exchange(
        "/v1/files", method="POST", body=b"half", headers={"Transfer-Encoding": "chunked"}, more_body=True
    ) as exchange:
        exchange.leave()
        await exchange.end()
    assert kept(api) == []


async def test_an_artifact_is_listed_and_downloaded(api: Api) -> None:
    job_id = api.job()
    add_artifact(api.state.files.storage, job_id, 1, "a b ü.txt", b"made")
    (seen,) = (await api.client.get(f"/v1/jobs/{job_id}/artifacts")).json()["artifacts"]
    answer = await api.client.get(seen["url"])
    assert (answer.status_code, answer.content) == (200, b"made")
    missing = await api.client.get(f"/v1/jobs/{job_id}/artifacts/other")
    unknown = await api.client.get("/v1/jobs/0/artifacts/other")
    assert [a.json()["code"] for a in (missing, unknown)] == ["artifact_not_found", "job_not_found"]


async def test_artifacts_go_with_their_job(api: Api) -> None:
    job_id = api.job()
    add_artifact(api.state.files.storage, job_id, 1, "a", b"made")
    assert (await api.client.delete(f"/v1/jobs/{job_id}")).status_code == 204
    assert kept(api) == []


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
async def test_a_submission_whose_files_are_not_there_is_refused(content_type: str) -> None:
    """In the short way and in FastAPI's."""
    async with api_with(queue=FakeQueue(kinds={"read": READ})) as api:
        file_id = add_file(api.state.files.storage, b"hello")
        missing = file_id[:-1] + ("0" if file_id[-1] != "0" else "1")

        async def submit(**fields: Any) -> Any:
            body = json.dumps({"kind": "read", "input": fields})
            return await api.client.post("/v1/jobs", content=body, headers={"Content-Type": content_type})

        assert (await submit(file=file_id)).status_code == 202
        refused = await submit(file=missing, more=[file_id, missing])
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == ["input.file", "input.more.1"]
        assert (await submit(file="../x")).json()["errors"][0]["field"] == "input.file"


async def test_files_want_a_key_where_there_are_keys_and_know_whose_it_was() -> None:
    async with api_with(api_keys={"me": "secret"}) as api:
        refused = await api.client.post("/v1/files", content=b"x" * 100)
        assert (refused.status_code, kept(api)) == (401, [])
        headers = {"Authorization": "Bearer secret", "Origin": "http://elsewhere.test"}
        sent = await api.client.post("/v1/files", content=b"x" * 100, headers=headers)
        stored = api.state.files.storage.stat(f"files/{sent.json()['id']}")
        assert stored
        assert stored.owner == "me"
        for path in (sent.headers["location"], sent.json()["links"]["content"], "/v1/jobs/0/artifacts/a"):
            assert (await api.client.get(path)).status_code == 401


async def test_a_file_past_its_time_is_not_there_for_new_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with api_with(queue=FakeQueue(kinds={"read": READ}), files_ttl_s=60) as api:
        file_id = add_file(api.state.files.storage, b"hello")
        first = await api.client.post("/v1/jobs", json={"kind": "read", "input": {"file": file_id}})
        later = time.time() + 61
        monkeypatch.setattr("server.filing.time", SimpleNamespace(time=lambda: later))
        again = await api.client.post("/v1/jobs", json={"kind": "read", "input": {"file": file_id}})
        assert (again.status_code, (await api.client.get(f"/v1/files/{file_id}")).status_code) == (422, 404)
        # The one that was submitted in time is noted to need it.
        assert list(users_of(api.state.files.storage, file_id)) == [first.json()["id"]]


async def test_a_retry_wants_the_file_as_well() -> None:
    async with api_with(queue=FakeQueue(kinds={"read": READ})) as api:
        file_id = add_file(api.state.files.storage, b"hello")
        job_id = api.worker.ended(kind="read", input={"file": file_id})
        assert (await api.client.post(f"/v1/jobs/{job_id}/retry")).status_code == 202
        await api.client.delete(f"/v1/files/{file_id}")
        gone = await api.client.post(f"/v1/jobs/{job_id}/retry")
        assert (gone.status_code, gone.json()["errors"][0]["field"]) == (422, "input.file")
