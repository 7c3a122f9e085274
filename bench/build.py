"""The programs in C: compiled at first use, and again when their source changes."""

import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parent / "native"
BUILT: Final = Path(__file__).parents[1] / ".jobcast" / "bench"
PROGRAMS: Final = {
    "readers": ("readers.c", "wire.c"),
    "speak": ("speak.c",),
    "floor": ("floor.c",),
    "posts": ("posts.c",),
}


class NoCompiler(Exception):
    """There is no C compiler on the PATH."""


@cache
def program(name: str) -> Path:
    """The compiled program.

    Raises:
        NoCompiler: it is not compiled yet, and nothing here can.
        subprocess.CalledProcessError: the compiler refuses; it has said why.
    """
    sources = [SOURCE / file for file in PROGRAMS[name]]
    text = b"".join(path.read_bytes() for path in [*sources, *sorted(SOURCE.glob("*.h"))])
    built = BUILT / f"{name}-{hashlib.sha256(text).hexdigest()[:12]}"
    if not built.exists():
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler is None:
            raise NoCompiler("the bench needs a C compiler: on Debian and Ubuntu, apt-get install gcc libc6-dev")
        BUILT.mkdir(parents=True, exist_ok=True)
        unfinished = built.with_suffix(".part")
        subprocess.run([compiler, "-O2", "-o", unfinished, *sources], check=True)
        unfinished.rename(built)
    return built
