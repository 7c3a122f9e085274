"""From the setting STORAGE_URL to the storage that it names."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from progress.errors import InvalidSettings
from progress.settings import Settings
from progress.storage.blobs import Storage
from progress.storage.local import LocalStorage
from progress.storage.s3 import S3Storage

DEFAULT: Final = Path(".jobcast/files")
"""Beside where a process was started: what `jobcast up` keeps its data in."""


def open_storage(settings: Settings) -> Storage:
    """The storage of these settings. Nothing is asked yet.

    Raises:
        InvalidSettings: the extra ``s3`` is not installed.
    """
    url = urlsplit(settings.storage_url)
    path = unquote(url.path)
    if url.scheme == "s3":
        if find_spec("boto3") is None:
            raise InvalidSettings("JOBCAST_STORAGE_URL: s3:// wants the extra s3: pip install 'jobcast[s3]'")
        return S3Storage(url.netloc, path.strip("/"))
    return LocalStorage(Path(path) if path else DEFAULT)
