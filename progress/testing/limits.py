"""The twin's ``limiting.lua``: how many jobs of a kind may run at once, and the line of those that are too many."""

import math

from progress.testing.keyspace import Keyspace, Record


def limit_of(kind: str, limits: tuple[str, ...]) -> float:
    """``limit_of`` of limiting.lua."""
    return dict(zip(limits[::2], map(int, limits[1::2]), strict=True)).get(kind, math.inf)


def stands_back(space: Keyspace, job: Record, limit: float) -> bool:
    """``stands_back`` of limiting.lua."""
    job_id, kind = job["id"], job["kind"]
    line, score = space.lines.setdefault(kind, {}), space.queues[job["queue"]].get(job_id)
    first = _first(line)
    is_next = first is None or first == job_id or (score is not None and score < line[first])
    if len(space.index[kind, "running"]) < limit and is_next:
        line.pop(job_id, None)
        return False
    if score is not None:
        line[job_id] = score
        job["in_line"] = "1"
    return True


def called(space: Keyspace, kind: str, limit: float, most: int) -> list[str]:
    """``called`` of limiting.lua."""
    line, found = space.lines[kind], list[str]()
    room = min(most, limit - len(space.index[kind, "running"]))
    while len(found) < room and (job_id := _first(line)):
        del line[job_id]
        job = space.jobs.get(job_id)
        if job and job_id in space.queues[job["queue"]]:
            job.pop("in_line", None)
            job["queued_at"] = str(space.now())
            found.append(job_id)
    return found


def _first(line: dict[str, float]) -> str | None:
    return min(line, key=lambda job_id: (line[job_id], job_id), default=None)
