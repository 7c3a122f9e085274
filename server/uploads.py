"""The way of an upload: bytes as they come, to the storage, with no more of them in memory than two chunks."""

import re
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from progress.jobs import uuid7
from progress.storage import Stored, Writer, file_key
from server.errors import Problem, invalid
from server.filing import Filing

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD: Final = "file"
UNNAMED: Final = "file"
HINT: Final = f"give a file, as in `curl -F {FIELD}=@report.pdf`"
MAX_NAME: Final = 200
CHUNK_BYTES: Final = 1024 * 1024
FORM_BYTES: Final = 64 * 1024
"""What a form may need around its file."""
_NOT_IN_NAMES: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")


def told_name(given: str) -> str:
    """What a file is called: the last part of what a client calls it, without what no eye can see."""
    last = _NOT_IN_NAMES.sub("", re.split(r"[/\\]", given)[-1]).strip()
    stem, dot, end = last.rpartition(".")
    if len(last) > MAX_NAME and 0 < len(end) < 16:
        last = stem[: MAX_NAME - 1 - len(end)] + dot + end
    return (last[:MAX_NAME].strip(". ") and last[:MAX_NAME]) or UNNAMED


class Upload:
    """Takes one file; lets go of it where more come than are allowed."""

    def __init__(self, filing: Filing, writer: Writer, max_bytes: int) -> None:
        self._filing = filing
        self._writer = writer
        self._left = self._max_bytes = max_bytes
        self._held = bytearray()

    async def add(self, data: bytes) -> None:
        """Takes bytes. Raises Problem (413) and StorageUnavailable."""
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._max_bytes)
        self._held += data
        if len(self._held) >= CHUNK_BYTES:
            await self._pass_on()

    async def commit(self, name: str, owner: str | None) -> Stored:
        """Keeps it."""
        await self._pass_on()
        return await self._filing.run(self._writer.commit, told_name(name), "", owner)

    async def _pass_on(self) -> None:
        held, self._held = self._held, bytearray()
        if held:
            await self._filing.run(self._writer.write, bytes(held))


class Form:
    """Finds the one file in a form, as it comes.

    Raises Problem where the form is none, or has anything else in it.
    """

    def __init__(self, boundary: bytes) -> None:
        self.name: str | None = None
        self.ended = False
        self._found: list[bytes] = []
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._headers: dict[bytes, bytes] = {}
        on: MultipartCallbacks = {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": lambda data, start, end: self._found.append(data[start:end]),
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(boundary, on)
        except FormParserError as error:
            raise Problem(400, "bad_request", f"the form cannot be read: {error}") from None

    def feed(self, chunk: bytes) -> bytes:
        """Reads on; returns what the chunk has of the file."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Problem(400, "bad_request", f"the form cannot be read: {error}") from None
        found, self._found = self._found, []
        return b"".join(found)

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], b"")

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _on_header_end(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = (b"", b"")

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field != FIELD:
            raise invalid(field or FIELD, f"there is no such field: give one, `{FIELD}`")
        if self.name is not None:
            raise invalid(FIELD, "give one file in a request")
        self.name = options.get(b"filename", b"").decode("utf-8", "replace")

    def _on_end(self) -> None:
        self.ended = True


async def receive(request: Request, filing: Filing, owner: str | None, max_bytes: int) -> tuple[str, Stored]:
    """Stores the file of a request, in a form or as it is; its id and record.

    Raises:
        Problem: 400 where the form cannot be read, 413 as soon as it is too large, 422 without a file.
        StorageUnavailable: it cannot be stored.
        ClientDisconnect: the client has left before its end. In all these cases nothing is kept.
    """
    media_type, options = parse_options_header(request.headers.get("content-type"))
    is_form = media_type == b"multipart/form-data"
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes + is_form * FORM_BYTES:
        raise too_large(max_bytes)
    if not media_type and length in {"", "0"} and "transfer-encoding" not in request.headers:
        raise invalid(FIELD, HINT)
    form = Form(options.get(b"boundary", b"")) if is_form else None
    file_id = uuid7()
    writer = await filing.run(filing.storage.writer, file_key(file_id))
    try:
        upload = Upload(filing, writer, max_bytes)
        async for chunk in request.stream():
            await upload.add(form.feed(chunk) if form else chunk)
        name = request.query_params.get("name", "")
        if form:
            name = whole(form)
        return file_id, await upload.commit(name, owner)
    finally:
        await filing.run(writer.abort)


def whole(form: Form) -> str:
    """The name of a form's file. Raises Problem where the form has not ended, or has none."""
    if not form.ended:
        raise Problem(400, "bad_request", "the form breaks off before its end")
    if form.name is None:
        raise invalid(FIELD, HINT)
    return form.name


def too_large(max_bytes: int) -> Problem:
    """413 to an upload."""
    detail = f"the file is larger than {max_bytes} bytes (JOBCAST_MAX_FILE_BYTES)"
    return Problem(413, "payload_too_large", detail, headers={"Connection": "close"})


__all__ = ["ClientDisconnect", "Form", "Upload", "receive", "told_name", "too_large", "whole"]
