"""A sentiment model: plain arrays and lists of terms, kept without pickle, scored by scikit-learn's vectorizers.

A model comes from the storage that all workers share, where only workers write under its key. Even so it is read as
numbers and JSON alone (``allow_pickle=False``): whoever gets to write there can make scores wrong, but runs no code.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from tasks.errors import TaskError
from tasks.sentiment.words import ratings, terms

if TYPE_CHECKING:
    from numpy import ndarray

FORMAT: Final = 1
"""Of what is kept, and of what a term and a feature is: a model of another one is not used."""
PIECES_WEIGHT: Final = 0.5
"""What pieces of words count beside words."""
RATINGS_WEIGHT: Final = 2.0
"""What the lexicon counts beside them."""


class BrokenModelError(ValueError):
    """These bytes are no model of this format."""


def need_ml() -> None:
    """Raises TaskError ``not_installed`` without scikit-learn."""
    if find_spec("sklearn") is None:
        message = "this worker has no scikit-learn: install jobcast with the extra ml (pip install 'jobcast[ml]')"
        raise TaskError("not_installed", message)


def words_vectorizer(**options: Any) -> Any:
    """Turns texts into weights of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer=terms, sublinear_tf=True, **options)


def pieces_vectorizer(**options: Any) -> Any:
    """Turns texts into weights of pieces of words, which know "disappoints" from "disappointed"."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, **options)


def features(texts: Sequence[str], by_words: Any, by_pieces: Any) -> Any:
    """One sparse row for each text: words, pieces, ratings."""
    import numpy
    from scipy.sparse import csr_matrix, hstack

    rated = csr_matrix(numpy.array([ratings(text) for text in texts])) * RATINGS_WEIGHT
    return hstack([by_words.transform(texts), by_pieces.transform(texts) * PIECES_WEIGHT, rated]).tocsr()


@dataclass(frozen=True)
class Model:
    """Terms in the order of their columns, how rare each is, what a column weighs, the accuracy on held-out texts."""

    words: list[str]
    pieces: list[str]
    rarity: "ndarray[Any, Any]"
    weights: "ndarray[Any, Any]"
    bias: float
    accuracy: float = 0.0

    @property
    def vocabulary(self) -> int:
        """How many terms it knows."""
        return len(self.words) + len(self.pieces)

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits that tell it from every other: the same training gives the same."""
        digest = hashlib.sha256(json.dumps([FORMAT, self.words, self.pieces, self.bias]).encode())
        digest.update(self.rarity.tobytes() + self.weights.tobytes())
        return digest.hexdigest()[:12]

    @cached_property
    def _vectorizers(self) -> tuple[Any, Any]:
        pair = words_vectorizer(vocabulary=self.words), pieces_vectorizer(vocabulary=self.pieces)
        for vectorizer, rarity in zip(
            pair, (self.rarity[: len(self.words)], self.rarity[len(self.words) :]), strict=True
        ):
            vectorizer.idf_ = rarity
        return pair

    def score(self, texts: Sequence[str]) -> list[float]:
        """How likely each text is to be positive, 0 to 1."""
        from scipy.special import expit

        if not texts:
            return []
        sums = features(texts, *self._vectorizers) @ self.weights + self.bias
        return [float(score) for score in expit(sums)]

    def dump(self) -> bytes:
        """As it is kept: an .npz with arrays of numbers, one of which is a JSON text."""
        import numpy

        head = {
            "format": FORMAT, "words": self.words, "pieces": self.pieces, "bias": self.bias, "accuracy": self.accuracy
        }  # fmt: skip
        file = io.BytesIO()
        as_bytes = numpy.frombuffer(json.dumps(head).encode(), dtype=numpy.uint8)
        numpy.savez_compressed(file, head=as_bytes, rarity=self.rarity, weights=self.weights)
        return file.getvalue()

    @classmethod
    def load(cls, data: bytes) -> "Model":
        """Reads one that is kept. Raises BrokenModelError."""
        import zipfile

        import numpy

        try:
            with numpy.load(io.BytesIO(data), allow_pickle=False) as kept:
                head = json.loads(kept["head"].tobytes())
                rarity, weights = kept["rarity"].astype(float), kept["weights"].astype(float)
            if head["format"] != FORMAT:
                raise BrokenModelError(f"a model of format {head['format']}")
            model = cls(head["words"], head["pieces"], rarity, weights, float(head["bias"]), float(head["accuracy"]))
        except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BrokenModelError(f"not a sentiment model: {error}") from error
        model.check()
        return model

    def check(self) -> None:
        """Raises BrokenModelError where its parts don't belong together, or it has numbers that are none."""
        import numpy

        columns = self.vocabulary + len(ratings(""))
        if self.rarity.shape != (self.vocabulary,) or self.weights.shape != (columns,):
            raise BrokenModelError("a sentiment model whose parts don't belong together")
        if not (numpy.isfinite(self.weights).all() and numpy.isfinite(self.rarity).all()):
            raise BrokenModelError("a sentiment model with weights that are no numbers")
