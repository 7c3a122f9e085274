"""Operations on more than one job: in a cluster they are done in several partitions, and the answers joined."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from progress import keys
from progress.commands.command import Command, R
from progress.errors import StoreUnavailable

T = TypeVar("T")
Answers = Mapping[int, Any]
"""For each partition what its part has brought, or the StoreUnavailable that it has raised."""


class Spread(Command[R]):
    """One operation on several partitions. Where there is no cluster it is a Command like any other."""

    def parts(self) -> Mapping[int, Command[Any]]:
        """What is to be done in which partition."""
        return dict.fromkeys(range(keys.PARTITIONS), self)

    @abstractmethod
    def merge(self, answers: Answers) -> R:
        """What the answers mean together. Raises StoreUnavailable where too many are missing."""


def complete(answers: Answers) -> list[Any]:
    """Every answer. Raises the StoreUnavailable that there is."""
    for answer in answers.values():
        if isinstance(answer, StoreUnavailable):
            raise answer
    return list(answers.values())


def present(answers: Answers) -> list[Any]:
    """The answers that there are: partitions go on without each other. Raises StoreUnavailable where there is none."""
    found = [answer for answer in answers.values() if not isinstance(answer, StoreUnavailable)]
    return found or complete(answers)


def by_partition(ids: Iterable[str], items: Iterable[T]) -> dict[int, tuple[T, ...]]:
    """Items with the jobs that they are about, parted."""
    found: dict[int, list[T]] = {}
    for job_id, item in zip(ids, items, strict=True):
        found.setdefault(keys.partition_of(job_id), []).append(item)
    return {partition: tuple(some) for partition, some in found.items()}


def in_order(ids: Sequence[str], answers: Mapping[int, Iterable[T]]) -> list[T]:
    """What was parted by partition, as it was before."""
    left: dict[int, Iterator[T]] = {partition: iter(some) for partition, some in answers.items()}
    return [next(left[keys.partition_of(job_id)]) for job_id in ids]
