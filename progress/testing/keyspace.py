"""The twin's Redis: the keys as dictionaries, and what ``scripts/common.lua`` does to them."""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from progress import keys
from progress.events import rfc3339
from progress.figures import HISTOGRAMS, place_of
from progress.jobs import ENDED
from progress.testing.groups import Groups

Record = dict[str, str]
Scores = dict[str, float]
ACTIVITY: Final = frozenset({"queued", "started", "progress", "retrying", *ENDED})
LOST: Final = '{"code":"worker_lost","message":"the worker died or stopped answering","retryable":true}'
REQUESTED: Final = '"requested"'
UNSETTLED: Final = -1
CODE: Final = re.compile('"code":"([a-z0-9_]+)"')


@dataclass(eq=False)
class Keyspace(Groups):
    """The keys of ``progress/keys.py`` and the time. What has expired is removed when the time is asked for."""

    clock: Callable[[], int]
    publish: Callable[[str, str], None]
    is_heard: Callable[[str], bool]
    jobs: dict[str, Record] = field(default_factory=dict)
    logs: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    idempotency: dict[str, str] = field(default_factory=dict)
    index: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    queues: dict[str, Scores] = field(default_factory=lambda: defaultdict(dict))
    deleted: dict[str, int] = field(default_factory=dict)
    passed: dict[str, tuple[float, int]] = field(default_factory=dict)
    holders: dict[str, set[str]] = field(default_factory=dict)
    workers: dict[str, Scores] = field(default_factory=lambda: defaultdict(dict))
    collections: dict[str, Record] = field(default_factory=dict)
    vectors: dict[str, dict[str, str]] = field(default_factory=dict)
    neighbours: dict[str, tuple[str, str]] = field(default_factory=dict)
    due: Scores = field(default_factory=dict)
    leases: Scores = field(default_factory=dict)
    expiry: Scores = field(default_factory=dict)
    unread: Scores = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    figure_parts: dict[str, dict[str, int]] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)
    schedules: dict[str, Record] = field(default_factory=dict)
    lines: dict[str, Scores] = field(default_factory=dict)
    turns: dict[str, float] = field(default_factory=dict)
    pauses: dict[str, int] = field(default_factory=dict)
    deliveries: Scores = field(default_factory=dict)
    tries: dict[str, list[str]] = field(default_factory=dict)
    run_id: str = "00000001"
    server: str = ""
    unsettled: int = 0
    alive: int | None = None
    doubt: int = 0
    pulse: int | None = None
    grace: int = 0
    sweeper: tuple[str, int] = ("", 0)
    ttls: dict[tuple[str, str], int] = field(default_factory=dict)
    """By kind of key (the name of an attribute) and id: the epoch ms at which it goes."""

    def __post_init__(self) -> None:
        super().__init__()

    def now(self) -> int:
        """Epoch milliseconds."""
        now = self.clock()
        for place, until in tuple(self.ttls.items()):
            if until <= now:
                getattr(self, place[0]).pop(place[1], None)
                del self.ttls[place]
        return now

    def notice(self, now: int) -> str:
        """``notice`` of common.lua."""
        alive = now if self.alive is None else self.alive
        if self.server and self.server != self.run_id:
            self.unsettled = now + keys.SETTLE_MS
            self.doubt = min(now, alive + keys.ALIVE_MS + keys.SETTLE_MS)
        if self.server != self.run_id or self.alive is None or now - alive >= keys.ALIVE_MS:
            self.alive = now
        self.server = self.run_id
        return self.server

    def missing(self, now: int) -> str:
        """``missing`` of common.lua."""
        self.notice(now)
        return "unsettled" if self.unsettled > now else "gone"

    def leave_room(self, job: Record, now: int, upto: int | None = None) -> str:
        """``leave_room`` of common.lua; ``upto`` 0 for false, None if needed."""
        before, server = job["last_seq"], self.server if upto is None else ""
        if upto is None and job.get("server", self.server) != self.server:
            upto = int(before) + keys.ROOM + now % keys.ROOM
        if not upto:
            return ""
        job |= {"last_seq": str(upto), "server": server}
        return f',"follows":{before}'

    def doubtful(self, job: Record, now: int) -> bool:
        """``doubtful`` of common.lua."""
        doubted = job.get("doubted") == job["attempt"]
        lease = self.leases.get(job["id"], 0)
        if (not doubted and lease > now) or job.get("server", self.run_id) == self.notice(now):
            return False
        return doubted or lease <= self.doubt

    def goes_on(self, job: Record, now: int, again: str) -> int | None:
        """``goes_on`` of common.lua: what ``leave_room`` takes, or UNSETTLED."""
        if again or not self.doubtful(job, now):
            return int(again or 0)
        return UNSETTLED if self.unsettled > now else None

    def enlist(self, job_id: str, kind: str, status: str) -> None:
        """Puts a job into the lists of a status, of its kind and of all."""
        self.index[kind, status].add(job_id)
        self.index["", status].add(job_id)

    def delist(self, job_id: str, kind: str, status: str) -> None:
        """Takes it out of them."""
        self.index[kind, status].discard(job_id)
        self.index["", status].discard(job_id)

    def set_status(self, job: Record, status: str) -> None:
        """``set_status`` of common.lua."""
        before, job["status"] = job["status"], status
        if before == status:
            return
        self.delist(job["id"], job["kind"], before)
        self.enlist(job["id"], job["kind"], status)
        if "group" in job:
            self.count_in_group(job, before, status)

    def write(self, job: Record, now: int, attempt: str, drafts: tuple[str, ...]) -> int:
        """``write`` of common.lua."""
        seq, lines = int(job["last_seq"]), []
        log = self.logs.setdefault(job["id"], [])
        for kind, fields in zip(drafts[::2], drafts[1::2], strict=True):
            if kind == "checkpoint":
                job |= {"checkpoint": fields, "checkpoint_seq": str(seq)}
                continue
            seq += 1
            head = f'{{"seq":{seq},"type":"{kind}","attempt":{attempt},"at":"{rfc3339(now)}"'
            body = f",{fields}" if fields else ""
            lines.append(f"{head}{body}}}")
            log.append((seq, lines[-1]))
            if kind in ACTIVITY:
                shown = "" if kind == "succeeded" else body
                self.publish(keys.ACTIVITY, f'{head}{shown},"job":"{job["id"]}","kind":"{job["kind"]}"}}')
        del log[: -int(job["max_events"])]
        job["last_seq"] = str(seq)
        if lines:
            self.publish(keys.live(job["id"]), "\n".join(lines))
        return seq

    def enter_queue(self, job: Record, now: int) -> None:
        """``enter_queue`` of common.lua."""
        job["queued_at"] = job["entered_at"] = str(now)
        self.queues[job["queue"]][job["id"]] = (9 - int(job["priority"])) * 1e13 + now

    def ranked(self, queue: str) -> list[str]:
        """The jobs of a queue, the next one first."""
        scores = self.queues[queue]
        return sorted(scores, key=lambda job_id: (scores[job_id], job_id))

    def count(self, now: int, field: str, by: int = 1) -> None:
        """``count`` of common.lua."""
        part = str(now // keys.FIGURES_PART_MS)
        for counts in (self.figures, self.figure_parts.setdefault(part, {})):
            counts[field] = counts.get(field, 0) + by
        self.ttls["figure_parts", part] = self.clock() + keys.FIGURES_TTL_S * 1000

    def observe(self, now: int, name: str, kind: str, size: int) -> None:
        """``observe`` of common.lua."""
        self.count(now, f"{name} {kind} {place_of(size, HISTOGRAMS[name])}")
        self.count(now, f"{name} {kind} sum", size)

    def code_of(self, error: str) -> str:
        """``code_of`` of common.lua."""
        found = CODE.search(error)
        code = found[1] if found else "other"
        if len(code) > 64 or (code not in self.codes and len(self.codes) >= keys.MOST_CODES):
            return "other"
        self.codes.add(code)
        return code

    def finish(self, job: Record, now: int, attempt: str, status: str, fields: str) -> int:
        """``finish`` of common.lua."""
        seq, job_id = self.write(job, now, attempt, (status, fields)), job["id"]
        job["finished_at"] = str(now)
        self.set_status(job, status)
        self.count(now, f"ended {job['kind']} {status}")
        if status == "failed":
            code = self.code_of(fields)
            self.count(now, f"failed {job['kind']} {code}")
            if '"retryable":true' in fields:
                self.count(now, f"exhausted {job['kind']} {code}")
        for scores in (self.leases, self.due, self.unread, self.waiters, self.queues[job["queue"]]):
            scores.pop(job_id, None)
        if "opened" in job and status != "succeeded":
            self.abandoned[job["opened"]] = now
        clock, kept_ms = self.now(), int(job["result_ttl_s"]) * 1000
        self.ttls["logs", job_id] = clock + int(job["events_ttl_s"]) * 1000
        self.ttls["jobs", job_id] = clock + kept_ms
        self.expiry[f"{job_id} {job['kind']} {status}"] = now + kept_ms
        if "webhook" in job and status in job.get("webhook_events", status):
            self.deliveries[job_id] = now
        return seq

    def counted(self, job: Record) -> int:
        """``counted`` of common.lua."""
        return int(job["attempt"]) - int(job.get("handed_back", 0))

    def lose(self, job: Record, now: int, upto: int | None = None) -> bool:
        """``lose`` of common.lua."""
        follows = self.leave_room(job, now, upto)
        self.leases.pop(job["id"], None)
        self.count(now, f"lost {job['kind']} ")
        if "cancel_requested" in job:
            job.pop("error", None)
            self.finish(job, now, job["attempt"], "cancelled", f'"reason":{job["cancel_requested"]}{follows}')
            return False
        job["error"] = LOST
        if self.counted(job) >= int(job["max_attempts"]):
            self.finish(job, now, job["attempt"], "failed", f'"error":{LOST}{follows}')
            return False
        self.count(now, f"retried {job['kind']} {self.code_of(LOST)}")
        self.write(job, now, job["attempt"], ("retrying", f'"delay_s":0,"error":{LOST}{follows}'))
        self.set_status(job, "retrying")
        self.enter_queue(job, now)
        return True

    def paused(self, now: int) -> bool:
        """``paused`` of common.lua."""
        return self.pulse is not None and now > self.pulse

    def is_lost(self, job_id: str, now: int) -> bool:
        """``is_lost`` of common.lua."""
        return max(self.grace, self.unsettled) <= now and self.leases.get(job_id, 0) <= now

    def cancel(self, job: Record, now: int, reason: str, again: tuple[str, ...] = ()) -> tuple[str, ...]:
        """``end_or_ask`` of common.lua, of a job that there is: the answer, and of an end its three."""
        status, before = job["status"], job["last_seq"]
        if status in ENDED:
            made = (job["finished_at"], job["cancelled_after"], before) if "cancelled_after" in job else ()
            return ("again", *made) if status == "cancelled" else ("ended",)
        same = bool(again) and again[1] == before
        runs = status == "running" and "waiting_for" not in job
        if not same and not runs and self.comes_back(job, now):
            return ("unsettled",)
        if not same and runs and not self.is_lost(job["id"], now):
            known = "cancel_requested" in job
            job.setdefault("cancel_requested", reason)
            return ("again",) if known else ("requested",)
        job |= {"cancel_requested": reason, "cancelled_after": before}
        job.pop("error", None)
        at, upto = (int(again[0]), int(again[2]) - 1) if same else (now, None)
        follows = self.leave_room(job, now, 0 if upto == int(before) else upto)
        seq = self.finish(job, at, job["attempt"], "cancelled", f'"reason":{reason}{follows}')
        return "cancelled", str(at), before, str(seq)

    def watched(self, job: Record, now: int, slack_ms: int) -> None:
        """``watched`` of common.lua, of a job that there is."""
        if "cancel_after_s" in job and job["status"] not in ENDED:
            self.unread[job["id"]] = now + int(float(job["cancel_after_s"]) * 1000) + slack_ms

    def refusal(self, job_id: str, attempt: str, claim: str, number: int) -> str:
        """``refuse`` of common.lua; empty where it says nil."""
        job = self.jobs.get(job_id)
        if job is None:
            return "gone"
        mine = job["attempt"] == attempt and job.get("claim") == claim
        if mine and number <= int(job["append_number"]):
            return "seen"
        if job["status"] in ENDED:
            return "closed"
        if int(job["attempt"]) < int(attempt):
            return "behind"
        if not mine or job["status"] != "running" or "waiting_for" in job:
            return "stale"
        return "behind" if number > int(job["append_number"]) + 1 else ""


def flat(job: Record, names: tuple[str, ...] = ()) -> list[str]:
    """A record as HGETALL lists it: name, value, name, value, …"""
    return [part for name in names or job if name in job for part in (name, job[name])]


def up_to(scores: Scores, now: int, limit: int) -> list[str]:
    """The members of a sorted set with scores up to ``now``, in their order, as ZRANGEBYSCORE gives them."""
    due = [name for name, score in scores.items() if score <= now]
    return sorted(due, key=lambda name: (scores[name], name))[:limit]
