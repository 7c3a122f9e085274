"""The promises, as checks on what went out to readers and on what the store holds."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from progress import keys
from progress.commands import Append, BeginAttempt, Claim, Command, DeleteJob, Heartbeat
from progress.events import TERMINAL, Event
from progress.jobs import ENDED, Job
from tests.contract.promises.apis import Api
from tests.contract.promises.readers import Reader, kept_text, text_of
from tests.contract.promises.workers import HANDED_BACK, LEASE_MS, Attempt
from tests.contract.promises.world import Party, World

STATUS: Final = {"queued": "queued", "started": "running", "retrying": "retrying"} | {end: end for end in ENDED}


def check_log(log: list[Event], delay_s: float) -> None:
    """Numbers grow, none is left out, attempts follow each other in their time, and nothing follows an end."""
    assert (log[0].type, log[0].seq, log[0].attempt) == ("queued", 1, 0), log[0]
    for before, event in pairwise(log):
        pair = f"{event.raw!r} after {before.raw!r}"
        assert event.seq > before.seq, pair
        assert event.follows == before.seq, pair
        assert event.attempt == before.attempt + (event.type == "started"), pair
        assert not before.is_terminal, pair
        assert before.type != "retrying" or event.type in ("started", "cancelled"), pair
        if event.type == "started":
            waits_s = before.data.get("delay_s", delay_s if before.type == "queued" else 0)
            assert at(event) - at(before) >= timedelta(seconds=waits_s), pair


def at(event: Event) -> datetime:
    """When it was."""
    return datetime.fromisoformat(event.data["at"])


def check_record(job: Job, log: list[Event]) -> None:
    """The record says what the log says."""
    last = [event for event in log if event.type in STATUS][-1]
    assert (job.status, job.last_seq, job.attempt) == (STATUS[last.type], log[-1].seq, log[-1].attempt), log[-1]
    starts = [event for event in log if event.type == "started"]
    assert job.handed_back == sum(map(is_handed_back, log)) + waits(job, log)
    assert len(starts) - job.handed_back <= job.max_attempts, "an attempt too many"
    kept = [0, *(start.data["rollback_to"] for start in starts), job.checkpoint_seq, job.last_seq]
    assert kept == sorted(kept), "a checkpoint is taken back"
    if job.checkpoint_seq:
        assert job.checkpoint["text"] == kept_text(log, job.checkpoint_seq)
    match last.type:
        case "succeeded":
            assert (job.result, job.error) == (last.data["result"], None)
        case "failed" | "retrying":
            assert job.error == last.data["error"]
        case "cancelled":
            assert job.error is None


def is_handed_back(event: Event) -> bool:
    """Whether it ends an attempt that does not count."""
    return event.type == "retrying" and event.data["error"]["message"] == HANDED_BACK


def waits(job: Job, log: list[Event]) -> int:
    """How often it has waited for its children. That is no event; what comes next is another attempt's."""
    told = [event.type for event in log if event.type in STATUS]
    return sum(pair == ("started", "started") for pair in pairwise(told)) + (job.waiting_for is not None)


def check_place(job: Job, places: set[str]) -> None:
    """A job that lives is in one place, where somebody finds it; one that has ended is in none.

    One that waits for its children is ``running``, and so it is once they have ended and it waits for a worker.
    """
    right: list[set[str]] = [{"due"}, {"queue"}]
    if job.status not in ("queued", "retrying"):
        right = [{"leases"}] if job.status == "running" else [set()]
    if job.status == "running" and job.waiting_for:
        right = [{"due"}, {"queue"}] if job.waiting_for == "ready" else [{"waiters"}]
    assert places in right, f"{job.id} is {job.status}, and in {places}"


class Promises:
    """What was promised to whom, and whether it is kept."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.apis: list[Api] = []
        self.attempts: dict[tuple[str, int], Attempt] = {}
        """By the name of the worker, which is another one for each claim, and number."""
        self.readers: list[Reader] = []
        self.delays: dict[str, float] = {}
        """Seconds that a new job waits."""
        self._deleted: set[str] = set()
        self._statuses: dict[str, str] = {}
        """Of each job when it was last looked at."""
        self._renewed: dict[tuple[str, int], int] = {}
        """When an attempt has last said that it lives."""
        self._claims: dict[str, int] = {}
        """Which attempt was given to the claim of a name."""
        self._heard: set[tuple[str, bytes]] = set()
        """What was published: after a crash of Redis it is once more."""
        self._appends: set[tuple[Claim, int]] = set()
        self._ends: dict[str, Event] = {}
        """How each job has ended, as readers have seen it."""
        self._lost_ends: dict[str, Party] = {}
        """Who has made those that a crash has lost since."""
        self._cancels: dict[str, Api] = {}
        """Who has said of which job that it will be cancelled."""
        world.watchers.append(self._watch)
        world.listeners.append(self._hear)
        world.reborn.append(self._forget)

    def _watch(self, command: Command[Any], reply: Any) -> None:
        """What an answer promises, and whether it may be given."""
        now = self._world.clock.ms
        match command:
            case BeginAttempt() if reply.claim:
                if command.granted is None:
                    self._renewed[command.job_id, reply.claim.attempt] = now
                self._claims[command.token] = reply.claim.attempt
            case BeginAttempt() if command.token in self._claims and reply.answer == "held":
                attempt = getattr(self._world.job(command.job_id), "attempt", 0)
                assert attempt != self._claims[command.token], "it is its own"
            case Append() if reply.answer in ("ok", "cancel") and (command.claim, command.number) not in self._appends:
                # One that is sent again renews nothing: the next heartbeat does.
                self._appends.add((command.claim, command.number))
                self._renewed[command.claim.job_id, command.claim.attempt] = now
            case Heartbeat():
                for (claim, _), answer in zip(command.attempts, reply, strict=True):
                    if answer in ("ok", "cancel"):
                        self._renewed[claim.job_id, claim.attempt] = now
            case DeleteJob() if reply == "gone" and not command.again:
                # Whoever has made it may have died before a crash was over; who asks hears that it is deleted already.
                self._deleted.add(command.job_id)
            case DeleteJob() if reply == "deleted":
                is_running = self._statuses.get(command.job_id) in ("running", "retrying")
                assert command.again or not is_running, "a job is deleted that runs"
                self._deleted.add(command.job_id)

    def _hear(self, job_id: str, event: Event) -> None:
        """An attempt counts as lost only if it has not said for a lease that it lives, or its process is gone."""
        is_new = (job_id, event.raw) not in self._heard
        self._heard.add((job_id, event.raw))
        if is_new and event.data.get("error", {}).get("code") == "worker_lost":
            since = self._renewed[job_id, event.attempt]
            living = [attempt for attempt in self.attempts.values() if attempt.job_id == job_id]
            if any(attempt.number == event.attempt and not attempt.worker.dead for attempt in living):
                assert self._world.clock.ms >= since + LEASE_MS, f"it lives: {event.raw!r}"

    def _forget(self, job_id: str) -> None:
        """A job that was lost is another one now."""
        self.readers = [reader for reader in self.readers if reader.job_id != job_id]
        self._deleted.discard(job_id)
        for known in (self._ends, self._lost_ends, self._cancels):
            known.pop(job_id, None)

    def note_crash(self) -> None:
        """Notes what Redis has lost."""
        self._deleted = {job_id for job_id in self._deleted if self._world.job(job_id) is None}
        for job_id, end in self._ends.items():
            log = self._world.log(job_id)
            if job_id not in self._deleted and (not log or log[-1].raw != end.raw):
                self._lost_ends[job_id] = self._world.seen[job_id][end.seq].by

    def check(self, job_ids: Iterable[str]) -> None:
        """Looks at everything there is."""
        self._note_cancels()
        for job_id in job_ids:
            job, log = self._world.job(job_id), self._log(job_id)
            if job is None:
                self._statuses.pop(job_id, None)
                continue
            self._statuses[job_id] = job.status
            check_log(log, self.delays[job_id])
            check_record(job, log)
            check_place(job, self._world.site.places(job_id))
            self._check_texts(job, log)
            self._check_end(job, log[-1])
            self._check_cancel(job, log[-1])

    def _log(self, job_id: str) -> list[Event]:
        """A log, of which every event was published as it stands there."""
        log, seen = self._world.log(job_id), self._world.seen.get(job_id, {})
        assert all(seen[event.seq].event.raw == event.raw for event in log), "not what was published"
        # These have been decoded.
        return [seen[event.seq].event for event in log]

    def _check_texts(self, job: Job, log: list[Event]) -> None:
        """Each attempt's texts, joined, are what its worker published, from the first one on."""
        for place, start in enumerate(log):
            attempt = self.attempts.get((start.data.get("worker", ""), start.attempt))
            # Of a claim whose reply was lost nobody knows; sent again, it may be a later one.
            if attempt is None:
                continue
            assert kept_text(log[:place], start.data["rollback_to"]) == attempt.kept
            own = [event for event in log if event.attempt == start.attempt]
            self._check_attempt(job, attempt, own)

    def _check_attempt(self, job: Job, attempt: Attempt, own: list[Event]) -> None:
        text, published = text_of(own), "".join(attempt.texts)
        assert published.startswith(text), f"{text!r} is not what was published: {published!r}"
        if attempt.crashes == self._world.crashes:
            assert text.startswith(attempt.acknowledged), f"{text!r} lacks some of {attempt.acknowledged!r}"
            assert not attempt.checkpoint or job.checkpoint["number"] >= attempt.checkpoint, "a checkpoint is forgotten"
        said = own[-1].data.get("result") or own[-1].data.get("error") or {}
        if said.get("code") == attempt.name:
            assert text == published, f"{text!r} is not all of {published!r}"
            is_told = attempt.finished is None or attempt.finished.written
            assert is_told or not own[-1].is_terminal, "it has ended, and was told that it has not"

    def _check_end(self, job: Job, last: Event) -> None:
        """It has one end, and that stays."""
        seen = self._ends.get(job.id)
        if seen is not None and seen.raw != last.raw:
            assert job.id in self._lost_ends, f"{job.id} had ended: {seen.raw!r}, now {last.raw!r}"
            if self._lost_ends[job.id].keeps(job.id) and self._is_unsettled:
                assert not job.ended, f"{job.id} has ended twice: {seen.raw!r} and {last.raw!r}"
        if job.ended:
            self._ends[job.id] = last
            self._lost_ends.pop(job.id, None)

    @property
    def _is_unsettled(self) -> bool:
        return self._world.clock.ms < self._world.crashed_at + keys.SETTLE_MS

    def _note_cancels(self) -> None:
        for api in self.apis:
            for job_id in api.cancelled - self._ends.keys():
                self._cancels.setdefault(job_id, api)

    def _check_cancel(self, job: Job, last: Event) -> None:
        """Whoever was told that it will be cancelled finds it so; a job that waits is cancelled at once."""
        waits = job.cancel_requested and job.status not in ("running", *ENDED)
        # After a crash its holder comes first, and then those who look for such jobs.
        assert not waits or self._world.crashes, "it waits for nothing"
        if job.id not in self._cancels:
            return
        is_known = job.cancel_requested or job.status == "cancelled"
        if not is_known and self._cancels[job.id].dead and self._world.crashes:
            del self._cancels[job.id]
        assert is_known or self._world.crashes, "a cancel is forgotten"
        # A crash may lose it for as long as an attempt needs to end.
        is_right = last.type not in TERMINAL - {"cancelled"}
        assert is_right or self._world.crashes, f"it was to be cancelled: {last.raw!r}"

    def check_in_the_end(self, job_ids: Iterable[str]) -> None:
        """Looks at what there is when everybody alive has done what was to be done."""
        self.check(job_ids)
        for api in self.apis:
            self._check_api(api)
        for reader in self.readers:
            if self._world.job(reader.job_id):
                reader.check(self._world.log(reader.job_id))
        assert not (left := self._world.site.leftovers()), f"for ever: {left}"

    def _check_api(self, api: Api) -> None:
        for job_id, key in api.made.items():
            job = self._world.job(job_id)
            assert job or job_id in self._deleted or api.dead, f"{job_id} is lost"
            assert job is None or job.ended, f"nobody finds {job_id}"
            others = (other for one in self.apis for other in one.made if key and one.made[other] == key)
            is_one = all(other == job_id or other in self._deleted for other in others)
            # One that was lost may be made again after somebody has used its key anew.
            assert is_one or job is None or self._world.crashes, "one key"
        for job_id in api.deleted:
            assert api.dead or self._world.job(job_id) is None, f"{job_id} was deleted"
