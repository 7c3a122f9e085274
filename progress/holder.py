"""Which process holds a job, by a name that lets others on its machine see when it is gone."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_PROC: Final = Path("/proc")
_DEAD: Final = frozenset("ZX")
"""States of a process that only its parent still knows. A stopped one (T) may go on at any time."""


@dataclass(frozen=True)
class Holder:
    """A process under a name that no other ever has.

    Attributes:
        machine: one run of a kernel (its boot id) and the namespaces in which a process id and a time mean what they
            mean. Containers with the same hostname are two; a container that is started again is another one.
        process: its id and when it began, in clock ticks: an id that is given again later does not pass for it.
    """

    machine: str
    process: str

    @classmethod
    def here(cls) -> Self | None:
        """This process; None where the system does not tell: then only a lease says that a holder is lost."""
        own = _stat("self")
        # A /proc of another namespace, or none.
        if own is None or own[0] != os.getpid():
            return None
        try:
            boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
            spaces = [(_PROC / "self/ns/pid").stat().st_ino]
            with suppress(FileNotFoundError):  # before Linux 5.6
                spaces.append((_PROC / "self/ns/time").stat().st_ino)
        except OSError:
            return None
        return cls("-".join(map(str, (boot, *spaces))), _name(own[0], own[2]))

    def knows_gone(self, process: str) -> bool:
        """Whether a process of the same machine is certainly no more. Where it cannot tell, it says no."""
        pid = int(process.partition(".")[0])
        try:
            # Says it also of a process that /proc hides from other users.
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        found = _stat(str(pid))
        return found is not None and (found[1] in _DEAD or _name(pid, found[2]) != process)


def _name(pid: int, began: str) -> str:
    return f"{pid}.{began}"


def _stat(pid: str) -> tuple[int, str, str] | None:
    """Process id, state and start of a process, as proc_pid_stat(5) has them; None if it cannot be read."""
    with suppress(OSError):
        first, _, rest = (_PROC / pid / "stat").read_bytes().decode(errors="replace").rpartition(") ")
        # Its name stands in between, and may hold anything.
        fields = rest.split()
        return int(first.partition(" ")[0]), fields[0], fields[19]
    return None
