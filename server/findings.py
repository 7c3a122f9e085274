"""What `jobcast doctor` finds, and what it finds of the place of files."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from progress.errors import InvalidSettings, StorageUnavailable
from progress.settings import Settings
from progress.storage import check, open_storage

AWAY: Final = "does not answer"


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, what was seen, and the mend where it is wrong."""

    subject: str
    text: str
    mend: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing is to be done."""
        return not self.mend

    def __str__(self) -> str:
        return f"ok  {self.subject}  {self.text}" if self.good else f"!!  {self.subject}: {self.text}: {self.mend}"


def examine_storage(settings: Settings) -> Iterator[Finding]:
    """Whether files can be written and read again."""
    try:
        storage = open_storage(settings)
        check(storage)
    except (InvalidSettings, StorageUnavailable) as error:
        mend = "mend JOBCAST_STORAGE_URL or the rights there; API and workers must see the same place"
        yield Finding("files", str(error)[:300], mend)
        return
    yield Finding("files", f"{storage.address} can be written")


def why(error: Exception) -> str:
    # redis-py tells of a Sentinel that is away with all that it knows of the connection.
    return (str(error).partition("<redis.")[0].rstrip(".:( ") or type(error).__name__)[:300]


def shown(url: str) -> str:
    """An address without its password."""
    login, at, rest = url.rpartition("@")
    return f"{urlsplit(login).scheme}://…@{rest}" if at else url
