"""The promises, as checks on what went out to readers and on what the store holds."""

from itertools import pairwise
from typing import Final

from progress import keys
from progress.events import TERMINAL, Event
from progress.jobs import ENDED, Job
from tests.contract.promises.apis import Api
from tests.contract.promises.readers import Reader
from tests.contract.promises.workers import HANDED_BACK, Attempt
from tests.contract.promises.world import Party, World

STATUS: Final = {"queued": "queued", "started": "running", "retrying": "retrying"} | {end: end for end in ENDED}


def check_log(log: list[Event]) -> None:
    """Numbers grow, none is left out, attempts follow each other, and nothing follows an end."""
    assert (log[0].type, log[0].seq, log[0].attempt) == ("queued", 1, 0), log[0]
    for before, event in pairwise(log):
        pair = f"{event.raw!r} after {before.raw!r}"
        assert event.seq > before.seq, pair
        assert event.follows == before.seq, pair
        assert event.attempt == before.attempt + (event.type == "started"), pair
        assert not before.is_terminal, pair
        assert before.type != "retrying" or event.type in ("started", "cancelled"), pair


def check_record(job: Job, log: list[Event]) -> None:
    """The record says what the log says."""
    last = [event for event in log if event.type in STATUS][-1]
    assert (job.status, job.last_seq, job.attempt) == (STATUS[last.type], log[-1].seq, log[-1].attempt), log[-1]
    starts = [event for event in log if event.type == "started"]
    assert job.handed_back == sum(map(is_handed_back, log))
    assert len(starts) - job.handed_back <= job.max_attempts, "an attempt too many"
    kept = [0, *(start.data["rollback_to"] for start in starts), job.checkpoint_seq, job.last_seq]
    assert kept == sorted(kept), "a checkpoint is taken back"
    if job.checkpoint_seq:
        assert job.checkpoint == {"text": kept_text(log, job.checkpoint_seq)}
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


def check_place(job: Job, places: set[str]) -> None:
    """A job that lives is in one place, where somebody finds it; one that has ended is in none."""
    right: list[set[str]] = [{"due"}, {"queue"}]
    if job.status not in ("queued", "retrying"):
        right = [{"leases"}] if job.status == "running" else [set()]
    assert places in right, f"{job.id} is {job.status}, and in {places}"


def kept_text(log: list[Event], upto: float = float("inf")) -> str:
    """The text that a reader of these events holds in the end, up to a position: see docs/api.md."""
    held: list[Event] = []
    for event in log:
        if event.type == "started":
            held = [token for token in held if token.seq <= event.data["rollback_to"]]
        elif event.type == "token":
            held.append(event)
    return "".join(token.data["text"] for token in held if token.seq <= upto)


class Promises:
    """What was promised to whom, and whether it is kept."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.apis: list[Api] = []
        self.attempts: dict[str, Attempt] = {}
        """By the names of their workers, one for each claim."""
        self.readers: list[Reader] = []
        self._ends: dict[str, Event] = {}
        """How each job has ended, as readers have seen it."""
        self._lost_ends: dict[str, Party] = {}
        """Who has made those that a crash has lost since."""
        self._cancels: dict[str, Api] = {}
        """Who has said of which job that it will be cancelled."""

    def note_crash(self) -> None:
        """Notes which ends Redis has lost."""
        for job_id, end in self._ends.items():
            log = self._world.log(job_id)
            if job_id not in self._world.deleted and (not log or log[-1].raw != end.raw):
                self._lost_ends[job_id] = self._world.seen[job_id][end.seq].by

    def check(self) -> None:
        """Looks at everything there is."""
        self._note_cancels()
        for job_id in self._world.seen:
            job, log = self._world.job(job_id), self._world.log(job_id)
            if job is not None:
                check_log(log)
                check_record(job, log)
                check_place(job, self._world.site.places(job_id))
                self._check_texts(log)
                self._check_end(job, log[-1])
                self._check_cancel(job, log[-1])

    def _check_texts(self, log: list[Event]) -> None:
        """Each attempt's texts, joined, are what its worker published, from the first one on."""
        for at, start in enumerate(log):
            # Of a claim whose reply was lost nobody knows.
            if start.type != "started" or (attempt := self.attempts.get(start.data["worker"])) is None:
                continue
            own = [event for event in log if event.attempt == start.attempt]
            text = "".join(event.data["text"] for event in own if event.type == "token")
            assert kept_text(log[:at], start.data["rollback_to"]) == attempt.kept
            assert "".join(attempt.texts).startswith(text), f"{text!r} is not what was published: {attempt.texts}"
            if attempt.crashes == self._world.crashes:
                assert text.startswith(attempt.acknowledged), f"{text!r} lacks some of {attempt.acknowledged!r}"
            said = own[-1].data.get("result") or own[-1].data.get("error") or {}
            if said.get("code") == attempt.name:
                assert text == "".join(attempt.texts), f"{text!r} is not all of {attempt.texts}"

    def _check_end(self, job: Job, last: Event) -> None:
        """It has one end, and that stays."""
        seen = self._ends.get(job.id)
        if seen is not None and seen.raw != last.raw:
            assert job.id in self._lost_ends, f"{job.id} had ended: {seen.raw!r}, now {last.raw!r}"
            maker = self._lost_ends[job.id]
            if maker.keeps(job.id) and self._world.clock.ms < self._world.crashed_at + keys.SETTLE_MS:
                assert not job.ended, f"{job.id} has ended twice: {seen.raw!r} and {last.raw!r}"
        if job.ended:
            self._ends[job.id] = last
            self._lost_ends.pop(job.id, None)

    def _note_cancels(self) -> None:
        for api in self.apis:
            for job_id in api.cancelled - self._ends.keys():
                self._cancels.setdefault(job_id, api)

    def _check_cancel(self, job: Job, last: Event) -> None:
        """Whoever was told that it will be cancelled finds it so."""
        if job.id not in self._cancels:
            return
        is_known = job.cancel_requested or job.status == "cancelled"
        if not is_known and self._cancels[job.id].dead and self._world.crashes:
            del self._cancels[job.id]
        assert is_known or self._world.crashes, "a cancel is forgotten"
        assert last.type not in TERMINAL - {"cancelled"}, f"it was to be cancelled: {last.raw!r}"

    def check_in_the_end(self) -> None:
        """Looks at what there is when everybody alive has done what was to be done."""
        self.check()
        for api in self.apis:
            for job_id in api.made:
                job = self._world.job(job_id)
                assert job or job_id in self._world.deleted or api.dead, f"{job_id} is lost"
                assert job is None or job.ended, f"nobody finds {job_id}"
            for job_id in api.deleted:
                assert api.dead or self._world.job(job_id) is None, f"{job_id} was deleted"
        for reader in self.readers:
            if self._world.job(reader.job_id):
                reader.check(self._world.log(reader.job_id))
        assert not (left := self._world.site.leftovers()), f"for ever: {left}"
