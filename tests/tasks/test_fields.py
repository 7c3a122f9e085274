"""Fields of inputs that name files."""

import pytest
from pydantic import BaseModel, Field, ValidationError

from tasks.fields import FileId
from tasks.progress import Progress
from tasks.registry import Kind

ONE, TWO, THREE = (f"01a20103-7185-7369-83dc-a7eae9770ba{digit}" for digit in "123")


class Page(BaseModel):
    """A part of an input."""

    scan: FileId | None = None


class Book(BaseModel):
    """An input that names files in every way."""

    cover: FileId
    pages: list[Page] = Field(default_factory=list)
    more: dict[str, FileId] = Field(default_factory=dict, alias="also")
    title: str | FileId = ""


def bind(_task_input: Book, _progress: Progress) -> None:
    """Binds it."""


def kind_of(model: type[BaseModel]) -> Kind:
    return Kind("bind", bind, model, "cpu", None, None, (1.0, 60.0), "Bind", "")


def test_files_are_found_wherever_an_input_names_them() -> None:
    kind = kind_of(Book)
    task_input = kind.validate({"cover": ONE, "pages": [{}, {"scan": TWO}], "also": {"map": THREE}, "title": ONE})
    assert kind.files(task_input) == [("cover", ONE), ("pages.1.scan", TWO), ("also.map", THREE)]


def test_an_input_that_can_name_none_is_not_looked_through() -> None:
    class Plain(BaseModel):
        cover: str

    kind = kind_of(Plain)
    assert not kind.takes_files
    assert kind.files(kind.validate({"cover": ONE})) == []


def test_the_schema_says_where_a_file_goes() -> None:
    assert kind_of(Book).input_schema["properties"]["cover"]["format"] == "jobcast-file"


@pytest.mark.parametrize("wrong", ["", "x", "../etc/passwd", ONE.upper(), ONE + "\n", 7])
def test_what_is_no_id_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Book.model_validate({"cover": wrong})


def test_an_id_is_plain_text_in_json() -> None:
    assert Page(scan=FileId(ONE)).model_dump_json() == f'{{"scan":"{ONE}"}}'
    assert type(Page.model_validate({"scan": ONE}).model_dump(mode="json")["scan"]) is str
