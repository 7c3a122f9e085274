"""What a command is: the name of a script, its arguments and the meaning of its reply."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from progress import keys
from progress.commands.source import source
from progress.errors import StoreUnavailable

R = TypeVar("R")
Arg = str | int | float | bytes


@dataclass(frozen=True)
class Script:
    """The text of a Lua script, the SHA-1 by which Redis knows it, and the key that tells a cluster's node its slot.

    There is no key of that name. While a slot moves from one node to another, whoever asks for a key that is not there
    is sent on (ASK), and executors here do not follow: no script runs on either side, so none ever sees a job half.
    """

    text: bytes
    sha: str
    key: str


@cache
def script(name: str, partition: int | None = None) -> Script:
    """The script ``scripts/NAME.lua`` with the key names of a cluster's partition, or of where there is none."""
    text = source(name, keys.lua_words(partition)).encode()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest(), keys.prefix_of(partition))


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
