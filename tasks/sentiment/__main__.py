"""`python -m tasks.sentiment` trains the model and prints how often it is right about sentences it has not seen."""

import time

from tasks.sentiment.corpus import shipped, split
from tasks.sentiment.training import trained


def main() -> None:
    """Trains, measures, prints."""
    started = time.perf_counter()
    model = trained()
    took_s = time.perf_counter() - started
    training, held_out = split(shipped())
    print(
        f"accuracy {model.accuracy:.3f} on {len(held_out)} held-out sentences; "
        f"trained on {len(training)} in {took_s:.1f} s; {model.vocabulary} terms; version {model.version}"
    )


if __name__ == "__main__":
    main()
