"""From the setting STORAGE_URL to the storage that it names."""

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from progress.settings import Settings
from progress.storage.blobs import Storage
from progress.storage.local import LocalStorage

DEFAULT: Final = Path(".jobcast/files")
"""Beside where a process was started: what `jobcast up` keeps its data in."""


def open_storage(settings: Settings) -> Storage:
    """The storage of these settings. Nothing is asked yet."""
    path = unquote(urlsplit(settings.storage_url).path)
    return LocalStorage(Path(path) if path else DEFAULT)
