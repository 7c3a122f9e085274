"""What ``scripts/groups.lua`` does to the twin's keys: jobs that are counted together."""

import json
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from progress import keys
from progress.jobs import ENDED

Record = dict[str, str]
Scores = dict[str, float]

STATES: Final = ("queued", "running", "retrying", "succeeded", "failed", "cancelled")
TOLD_MS: Final = 250


@dataclass(frozen=True)
class Counted:
    """``counted_group`` of groups.lua."""

    expected: int
    total: int
    ended: int

    @property
    def done(self) -> bool:
        """Whether all of it has come and has ended."""
        return self.ended >= self.expected and self.ended >= self.total

    @property
    def lacks(self) -> bool:
        """Whether a crash has lost some of it."""
        return self.total < self.expected or self.expected == 0


def add(record: Record, name: str, amount: int = 1) -> None:
    """HINCRBY."""
    record[name] = str(int(record.get(name, 0)) + amount)


class Groups(ABC):
    """The keys of groups, and what is done to them; the rest of the keys is the Keyspace's."""

    jobs: dict[str, Record]
    due: Scores
    leases: Scores
    ttls: dict[tuple[str, str], int]
    server: str
    unsettled: int

    def __init__(self) -> None:
        self.groups: dict[str, Record] = {}
        self.members: dict[str, dict[str, int]] = defaultdict(dict)
        self.failures: dict[str, list[str]] = defaultdict(list)
        self.waiters: Scores = {}
        self.abandoned: Scores = {}

    @abstractmethod
    def now(self) -> int:
        """Epoch milliseconds."""

    @abstractmethod
    def write(self, job: Record, now: int, attempt: str, drafts: tuple[str, ...]) -> int:
        """``write`` of common.lua."""

    @abstractmethod
    def leave_room(self, job: Record, now: int, upto: int | None = None) -> str:
        """``leave_room`` of common.lua."""

    @abstractmethod
    def cancel(self, job: Record, now: int, reason: str, again: tuple[str, ...] = ()) -> tuple[str, ...]:
        """``cancel`` of common.lua."""

    def comes_back(self, job: Record, now: int) -> bool:
        """Whether there may be more of a job than is known, and who has written it may say so."""
        return job.get("server", self.server) != self.server and self.unsettled > now

    def counted_group(self, group: str) -> Counted:
        """``counted_group`` of groups.lua."""
        record = self.groups.get(group, {})
        return Counted(*(int(record.get(name, 0)) for name in ("expected", "total", "ended")))

    def wake(self, job_id: str, group: str, now: int) -> None:
        """``wake`` of groups.lua."""
        job = self.jobs.get(job_id, {})
        if job.get("status") == "running" and job.get("waiting_for") == group:
            job["waiting_for"] = "ready"
            self.waiters.pop(job_id, None)
            self.due[job_id] = now

    def goes_with(self, place: str, group: str) -> None:
        """``goes_with`` of groups.lua."""
        if ("groups", group) in self.ttls:
            self.ttls[place, group] = self.ttls["groups", group]

    def count_in_group(self, job: Record, before: str, status: str) -> None:
        """``count_in_group`` of groups.lua."""
        group, now = job["group"], self.now()
        record = self.groups.setdefault(group, {})
        if before:
            add(record, before, -1)
        else:
            add(record, "total")
        for name in (status, "revision"):
            add(record, name)
        if status in ENDED:
            add(record, "ended")
        failures = self.failures[group]
        if status == "failed" and len(failures) < keys.MOST_FAILURES:
            failures.append(f'{{"job":"{job["id"]}","kind":"{job["kind"]}","error":{job.get("error", "null")}}}')
            self.goes_with("failures", group)
        counted = self.counted_group(group)
        if "parent" in record:
            self._tell_parent(group, counted, now, job)
        if counted.done and status in ENDED:
            record["finished_at"] = str(now)
            for place in ("groups", "members", "failures"):
                self.ttls[place, group] = now + int(job["result_ttl_s"]) * 1000
            if "parent" in record:
                self.wake(record["parent"], group, now)

    def _tell_parent(self, group: str, counted: Counted, now: int, child: Record) -> None:
        record = self.groups[group]
        job = self.jobs.get(record["parent"], {})
        if job.get("status") != "running" or job.get("waiting_for") != group or self.comes_back(job, now):
            return
        if counted.expected > keys.SMALL_GROUP and not counted.done and now - int(record.get("told_at", 0)) < TOLD_MS:
            return
        record["told_at"] = str(now)
        fraction = float(record["base"]) + float(record["span"]) * counted.ended / max(1, counted.expected)
        fields = (
            f'"fraction":{fraction:.6g},"step":{record["step"]},"current":{counted.ended},"total":{counted.expected}'
        )
        job["progress"] = f"{{{fields}}}"
        states = ",".join(f'"{name}":{record.get(name, 0)}' for name in STATES)
        told = {"job": child["id"], "kind": child["kind"], "status": child["status"], "index": int(child["member"])}
        more = f',"children":{{{states}}},"child":{json.dumps(told, separators=(",", ":"))}'
        self.write(job, now, job["attempt"], ("progress", fields + more + self.leave_room(job, now)))

    def wait(self, job: Record, now: int, group: str) -> int:
        """What finish.lua does with a job that waits for a group."""
        add(job, "handed_back")
        job["waiting_for"] = group
        self.leases.pop(job["id"], None)
        self.waiters[job["id"]] = now + keys.WAITER_MS
        self._tell_parent_all(group, now)
        self._wake_if_due(job["id"], group, now)
        return int(job["last_seq"])

    def _tell_parent_all(self, group: str, now: int) -> None:
        for job_id in self.placed(group)[: keys.SMALL_GROUP]:
            child = self.jobs.get(job_id)
            if child and child["status"] != "queued":
                self._tell_parent(group, self.counted_group(group), now, child)

    def _wake_if_due(self, job_id: str, group: str, now: int) -> None:
        counted = self.counted_group(group)
        if counted.done or counted.lacks:
            self.wake(job_id, group, now)

    def look_after(self, now: int, limit: int) -> None:
        """What sweep.lua does about groups."""
        for job_id in sorted(self.waiters, key=lambda one: (self.waiters[one], one))[:limit]:
            if self.waiters[job_id] > now:
                continue
            del self.waiters[job_id]
            group = self.jobs.get(job_id, {}).get("waiting_for", "ready")
            if group != "ready":
                self.waiters[job_id] = now + keys.WAITER_MS
                self._wake_if_due(job_id, group, now)
        for group in sorted(self.abandoned, key=lambda one: (self.abandoned[one], one))[:1]:
            self._cancel_members(group, now, limit)

    def _cancel_members(self, group: str, now: int, limit: int) -> None:
        record = self.groups.setdefault(group, {})
        first = int(record.get("abandoned_upto", 0))
        members = self.placed(group)[first : first + limit]
        there = [self.jobs[job_id] for job_id in members if job_id in self.jobs]
        answers = [self.cancel(job, now, '"parent ended"')[0] for job in there]
        if "unsettled" in answers:
            return
        record["abandoned_upto"] = str(first + len(members))
        if len(members) < limit:
            del self.abandoned[group]

    def placed(self, group: str) -> list[str]:
        """The jobs of a group by their places."""
        members = self.members.get(group, {})
        return sorted(members, key=lambda job_id: (members[job_id], job_id))
