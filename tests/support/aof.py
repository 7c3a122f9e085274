"""Redis's append-only file: where a command ends, so that a test can lose what comes after."""

from pathlib import Path


def newest(directory: Path) -> Path:
    """The file that a server with this data directory appends to now. Raises FileNotFoundError."""
    manifest = directory / "appendonlydir" / "appendonly.aof.manifest"
    if not manifest.exists():
        return _there(directory / "appendonly.aof")  # Redis 6.2 has but one
    # One line a file: `file NAME seq NUMBER type i`, i being those of commands, the newest one last.
    names = [line.split()[1] for line in manifest.read_text().splitlines() if line.endswith("type i")]
    return _there(manifest.parent / names[-1])


def _there(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"no append-only file: {path}")
    return path


def boundary(log: bytes, limit: int) -> int:
    """The longest prefix, at most ``limit`` bytes, after which no command and no transaction is open.

    A script's effects are a transaction, so they are kept or lost together.
    """
    at = kept = 0
    in_transaction = False
    while at < len(log):
        end, name = _command(log, at)
        if end > limit:
            break
        in_transaction = name == b"MULTI" or (in_transaction and name != b"EXEC")
        at = end
        kept = kept if in_transaction else end
    return kept


def _command(log: bytes, at: int) -> tuple[int, bytes]:
    """Where the command that begins at ``at`` ends, and its name."""
    line = _line_end(log, at)
    if log[at : at + 1] == b"#":  # a note of the time
        return line, b""
    count, end, name = int(log[at + 1 : line]), line, b""
    for word in range(count):
        line = _line_end(log, end)
        start = line
        end = start + int(log[end + 1 : line]) + 2
        if word == 0:
            name = log[start : end - 2].upper()
    return end, name


def _line_end(log: bytes, at: int) -> int:
    # One that is not complete ends after everything: what it opens is over any limit.
    found = log.find(b"\r\n", at)
    return found + 2 if found >= 0 else len(log) + 1
