"""What a command is: the name of a script, its arguments and the meaning of its reply."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, TypeVar

from progress import keys
from progress.errors import StoreUnavailable

R = TypeVar("R")
Arg = str | int | float | bytes
SCRIPTS: Final = Path(__file__).parents[1] / "scripts"


@dataclass(frozen=True)
class Script:
    """The text of a Lua script and the SHA-1 by which Redis knows it."""

    text: bytes
    sha: str


@cache
def script(name: str) -> Script:
    """The script ``scripts/NAME.lua`` behind the key names and ``common.lua``."""
    parts = (keys.lua_table(), (SCRIPTS / "common.lua").read_text(), (SCRIPTS / f"{name}.lua").read_text())
    text = "\n".join(parts).encode()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest())


def settled(answer: str) -> str:
    """An answer about a job. Raises StoreUnavailable where it is that Redis has crashed and may have lost the job."""
    if answer == "unsettled":
        raise StoreUnavailable("it has crashed just now, and what it has lost is being written again")
    return answer


class Command(ABC, Generic[R]):
    """One operation. All keys lie in one slot, so the first one is enough to find the server."""

    script: ClassVar[str]

    @abstractmethod
    def args(self) -> Sequence[Arg]:
        """What the script takes as ARGV."""

    @abstractmethod
    def parse(self, reply: Any) -> R:
        """What the script's reply means."""
