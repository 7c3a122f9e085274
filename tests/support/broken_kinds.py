"""A module of tasks that needs what is not installed."""

import no_such_library  # type: ignore[import-not-found]  # that is the point  # noqa: F401
