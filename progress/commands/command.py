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
    """The text of a Lua script, the SHA-1 by which Redis knows it, and the keys by which it finds the node.

    There are no keys of these names. A cluster that moves a slot from one node to another refuses a script whose keys
    are not all on one side, so of a slot with two that are on neither it refuses all (TRYAGAIN) until the move is done:
    none ever sees a job half.
    """

    text: bytes
    sha: str
    keys: tuple[str, ...]


@cache
def script(name: str, partition: int | None = None) -> Script:
    """The script ``scripts/NAME.lua`` behind the key names (of a cluster's partition) and ``common.lua``."""
    parts = (keys.lua_table(partition), (SCRIPTS / "common.lua").read_text(), (SCRIPTS / f"{name}.lua").read_text())
    text = "\n".join(parts).encode()
    prefix = keys.prefix_of(partition)
    declared = (prefix,) if partition is None else (prefix, f"{prefix}-")
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest(), declared)


def settled(answer: str) -> str:
    """An answer about a job. Raises StoreUnavailable where it is that Redis has crashed and may have lost the job."""
    if answer == "unsettled":
        raise StoreUnavailable("it has crashed just now, and what it has lost is being written again")
    return answer


class Command(ABC, Generic[R]):
    """One operation. In a cluster it is done where the job is that it is about, unless it is a Spread."""

    script: ClassVar[str]

    @property
    def about(self) -> str:
        """The id of that job."""
        return str(getattr(self, "job_id", ""))

    @abstractmethod
    def args(self) -> Sequence[Arg]:
        """What the script takes as ARGV."""

    @abstractmethod
    def parse(self, reply: Any) -> R:
        """What the script's reply means."""
