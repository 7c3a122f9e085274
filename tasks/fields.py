"""Types of fields for the inputs of kinds."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from progress.storage import FILE_ID

FORMAT: Final = "jobcast-file"
"""Of JSON Schema: a string that names an uploaded file."""
Place = tuple[str | int, ...]
CollectionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""The name of a collection of vectors: see ``Progress.collection``."""


class FileId(str):
    """The id of a file that was uploaded (``POST /v1/files``): see ``Progress.file``."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls._checked, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "format": FORMAT, "pattern": f"^{FILE_ID.pattern}$"}

    @classmethod
    def _checked(cls, value: str) -> Self:
        if not FILE_ID.fullmatch(value):
            raise ValueError("give the id of a file, as POST /v1/files answers with")
        return cls(value)


def files_in(value: Any, place: Place = ()) -> Iterator[tuple[Place, FileId]]:
    """Every FileId in a validated input, with the path that leads to it."""
    if isinstance(value, FileId):
        yield place, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from files_in(getattr(value, name), (*place, field.alias or name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from files_in(item, (*place, str(name)))
    elif isinstance(value, list | tuple | set | frozenset):
        for number, item in enumerate(value):
            # Thousands of plain texts are looked at while others wait for the event loop.
            if type(item) is not str:
                yield from files_in(item, (*place, number))
