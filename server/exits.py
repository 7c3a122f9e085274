"""Exit statuses of the command line (CONTRACT §2)."""

import signal
import sys
from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
CANCELLED: Final = 3
UNREACHABLE: Final = 4
INTERRUPTED: Final = 128 + signal.SIGINT
BROKEN_PIPE: Final = 128 + signal.SIGPIPE


def complain(text: str, status: int) -> int:
    """Says on standard error what went wrong, and gives the status back."""
    sys.stderr.write(f"jobcast: {text}\n")
    return status
