"""What chance hangs on in tests."""

import os
import secrets


def seed_of(setting: str) -> str:
    """The same each time, so that a failure is one of the change at hand; printed, to be found beside a failure.

    Args:
        setting: a variable of the environment: another seed, or ``random`` for one that nobody has tried yet.
    """
    chosen = os.environ.get(setting, "1")
    if chosen == "random":
        chosen = str(secrets.randbelow(10**6))
    print(f"{setting}={chosen}")
    return chosen
