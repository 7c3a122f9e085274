"""The sentiment model in use: one for all workers, in the storage that they share, and in this process's memory."""

import threading
from typing import Final

from progress.errors import BlobGone
from progress.storage import Storage, put, read
from tasks.errors import TaskError
from tasks.sentiment.corpus import Sample
from tasks.sentiment.model import BrokenModelError, Model
from tasks.sentiment.training import trained

KEY: Final = "models/sentiment"
"""Only workers write here: a client's files and artifacts have other keys."""
MAX_BYTES: Final = 256 * 1024 * 1024
_lock: Final = threading.Lock()
_cached: dict[tuple[str, str], Model] = {}
"""The last model that was read, by its storage and its bytes' digest."""


class Shelf:
    """Where the model is kept. Its key changes hands at one go: whoever asks has the old one or the new one, whole.

    Every method may raise StorageUnavailable.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def model(self) -> Model:
        """The model in use. Without one, or with one of another release, it is trained on what is shipped, and kept."""
        with _lock:
            return self._current() or self.put(trained())

    def put(self, model: Model) -> Model:
        """Makes a model the one in use, and gives it back."""
        put(self._storage, KEY, model.dump(), "sentiment.npz")
        return model

    def retrain(self, more: list[Sample]) -> Model:
        """Trains anew and swaps the model, if the new one is no worse on the held-out texts than the one in use.

        Raises:
            TaskError: ``worse_model``; the old one stays.
        """
        new = trained(more)
        # As it will be read: what cannot be is not swapped in.
        new = Model.load(new.dump())
        old = self._current()
        if old and new.accuracy < old.accuracy:
            raise TaskError(
                "worse_model",
                f"the new model finds {new.accuracy:.1%} of the held-out labels, the one in use {old.accuracy:.1%}: "
                "it stays",
            )
        return self.put(new)

    def _current(self) -> Model | None:
        """The model that is kept, if it can be used."""
        try:
            stored = self._storage.stat(KEY)
            if stored is None or stored.size > MAX_BYTES:
                return None
            place = (self._storage.address, stored.sha256)
            if place not in _cached:
                model = Model.load(read(self._storage, stored))
                _cached.clear()
                _cached[place] = model
            return _cached[place]
        except BlobGone:
            # Swapped between the two reads.
            return self._current()
        except BrokenModelError:
            return None
