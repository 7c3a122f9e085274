"""From labelled texts to a model. The same texts give the same model."""

from dataclasses import replace
from typing import Final

from tasks.sentiment.corpus import Sample, shipped, split
from tasks.sentiment.model import Model, features, pieces_vectorizer, words_vectorizer

STRICTNESS: Final = 3.0
"""How closely the weights follow the texts: scikit-learn's C."""


def train(samples: list[Sample]) -> Model:
    """A model of these texts, whose accuracy nobody has measured yet. Needs both labels among them."""
    import numpy
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    texts = [sample.text for sample in samples]
    by_words, by_pieces = words_vectorizer().fit(texts), pieces_vectorizer(min_df=2).fit(texts)
    fitted = LogisticRegression(C=STRICTNESS, max_iter=1000, random_state=0)
    # More threads take longer for so little, and how many there are would decide the last digits of the weights.
    with threadpool_limits(1):
        fitted.fit(features(texts, by_words, by_pieces), [sample.positive for sample in samples])
    return Model(
        words=[str(term) for term in by_words.get_feature_names_out()],
        pieces=[str(term) for term in by_pieces.get_feature_names_out()],
        rarity=numpy.concatenate([by_words.idf_, by_pieces.idf_]),
        weights=fitted.coef_[0],
        bias=float(fitted.intercept_[0]),
    )


def accuracy(model: Model, samples: list[Sample]) -> float:
    """The share of texts whose label it finds, 0 to 1."""
    scores = model.score([sample.text for sample in samples])
    right = sum((score >= 0.5) == sample.positive for score, sample in zip(scores, samples, strict=True))
    return right / len(samples)


def trained(more: list[Sample] | None = None) -> Model:
    """A model of what is shipped, and of more where there is more, measured on what it has not seen."""
    training, held_out = split(shipped())
    seen = {sample.text for sample in held_out}
    model = train(training + [sample for sample in more or [] if sample.text not in seen])
    return replace(model, accuracy=accuracy(model, held_out))
