"""Every Redis key and how long it lives.

All keys share one hash tag, so that a script may touch several. In a Redis Cluster they come in PARTITIONS sets, each
with a tag of its own: a job is in the partition that the last digit of its id names, with its log, its places in lists
and queues, and the channel of its events. Schedules are all in the first one.

| key | type | holds | lives |
| --- | --- | --- | --- |
| job:ID | hash | the record | RESULT_TTL_S after the end |
| log:ID | stream | the events, entry id ``seq-0``, field ``e`` | EVENTS_TTL_S after the end |
| idem:OWNER:KEY | string | job id and fingerprint of the body | IDEMPOTENCY_TTL_S |
| deleted:ID | string | that a job of this id was deleted, and is not to be made again | DELETED_TTL_S |
| index:KIND:STATUS | sorted set, all scores 0 | job ids by time; an empty part is "any" | until its jobs expire |
| queue:QUEUE | sorted set | jobs waiting for a worker, the next one first | while not empty |
| passed:QUEUE | string | of the last job that began before others: its score there, and the epoch ms | PASSED_TTL_S |
| due | sorted set | jobs to be queued later, by epoch ms | while not empty |
| leases | sorted set | running jobs, by the epoch ms at which their attempt counts as lost | while not empty |
| unread | sorted set | jobs to be cancelled unless somebody reads them, by the epoch ms | while not empty |
| expiry | sorted set | ``ID KIND STATUS`` of ended jobs, by the epoch ms at which their record goes | while not empty |
| schedules | sorted set | schedules by the epoch ms of their next run, ``inf`` for those that are paused | for ever |
| schedule:ID | hash | a schedule | until it is deleted |
| deliveries | sorted set | ended jobs whose webhook is to be told, by the epoch ms of the next try | while not empty |
| tries:ID | list | what became of each delivery of a job, as JSON, the last MAX_TRIES of them | as long as the record |
| holders:MACHINE | set | processes there that have taken jobs | HOLDERS_TTL_S, while its workers look |
| workers:QUEUE | sorted set | workers that serve the queue, by the epoch ms until which that holds | PRESENCE_TTL_S |
| sweeper | string | the worker that sweeps | half a lease, within SWEEPER_TTL_MS |
| pulse | string | epoch ms until which another worker should have asked to sweep | PULSE_TTL_S |
| grace | string | epoch ms until which no attempt counts as lost | one lease |
| server | string | the first digits of Redis's run id: another one is another server, or one restarted | for ever |
| alive | string | epoch ms at which that server was last seen, to within ALIVE_MS | for ever |
| doubt | string | epoch ms until which the server before it may have lived | for ever |
| unsettled | string | epoch ms until which holders may write again what a crash of Redis has lost | SETTLE_MS |
| line:KIND | sorted set | jobs that wait for others of their kind, by their place in their queue | while not empty |
| lines | set | kinds that have such a line | while not empty |
| turn:NAME | string | epoch ms at which the next turn is at what has a rate | until then |
| pause:NAME | string | epoch ms until which something is to be left alone | until then |
| figures | hash | counts of what has happened, by name, kind and label: see progress/figures.py | for ever |
| figures:PART | hash | the same of one part of an hour | FIGURES_TTL_S |
| codes | set | codes of errors that the figures tell apart | for ever |
| collections | set | their names, and those of some that are gone | the same as the last of them |
| collection:NAME | hash | version, dimensions, model, bytes of a collection | COLLECTION_TTL_S after its use |
| vectors:NAME | hash | its items: float32, little-endian, and a label behind them, by id | the same |
| neighbours:NAME:K | string | what was found among them: the version, a space, and what a task keeps | the same |
| group:ID | hash | counters of a batch, or of the children of one step | RESULT_TTL_S after the last end |
| members:ID | sorted set | its jobs by their place in it | with group:ID |
| failures:ID | list | the first MOST_FAILURES jobs that have failed, ``{job, kind, error}`` | with group:ID |
| waiters | sorted set | jobs that wait for a group, by the epoch ms of the next look at it | while not empty |
| abandoned | sorted set | groups whose jobs nobody waits for any more, to be cancelled | while not empty |
| live:ID, activity | pub/sub channel | new events of one job; state changes and progress of all | – |
"""

import binascii
from typing import Final

PREFIX: Final = "{jobcast}:"
JOB: Final = f"{PREFIX}job:"
LOG: Final = f"{PREFIX}log:"
IDEMPOTENCY: Final = f"{PREFIX}idem:"
DELETED: Final = f"{PREFIX}deleted:"
INDEX: Final = f"{PREFIX}index:"
QUEUE: Final = f"{PREFIX}queue:"
PASSED: Final = f"{PREFIX}passed:"
DUE: Final = f"{PREFIX}due"
LEASES: Final = f"{PREFIX}leases"
EXPIRY: Final = f"{PREFIX}expiry"
UNREAD: Final = f"{PREFIX}unread"
SCHEDULES: Final = f"{PREFIX}schedules"
SCHEDULE: Final = f"{PREFIX}schedule:"
DELIVERIES: Final = f"{PREFIX}deliveries"
TRIES: Final = f"{PREFIX}tries:"
PULSE: Final = f"{PREFIX}pulse"
GRACE: Final = f"{PREFIX}grace"
HOLDERS: Final = f"{PREFIX}holders:"
SERVER: Final = f"{PREFIX}server"
UNSETTLED: Final = f"{PREFIX}unsettled"
ALIVE: Final = f"{PREFIX}alive"
DOUBT: Final = f"{PREFIX}doubt"
WORKERS: Final = f"{PREFIX}workers:"
SWEEPER: Final = f"{PREFIX}sweeper"
FIGURES: Final = f"{PREFIX}figures"
FIGURES_PART: Final = f"{FIGURES}:"
CODES: Final = f"{PREFIX}codes"
LINE: Final = f"{PREFIX}line:"
TURN: Final = f"{PREFIX}turn:"
PAUSE: Final = f"{PREFIX}pause:"
LINES: Final = f"{PREFIX}lines"
LIVE: Final = f"{PREFIX}live:"
ACTIVITY: Final = f"{PREFIX}activity"
COLLECTION: Final = f"{PREFIX}collection:"
COLLECTIONS: Final = f"{PREFIX}collections"
VECTORS: Final = f"{PREFIX}vectors:"
NEIGHBOURS: Final = f"{PREFIX}neighbours:"
GROUP: Final = f"{PREFIX}group:"
MEMBERS: Final = f"{PREFIX}members:"
FAILURES: Final = f"{PREFIX}failures:"
WAITERS: Final = f"{PREFIX}waiters"
ABANDONED: Final = f"{PREFIX}abandoned"
BROKER: Final = f"{PREFIX}broker:"
"""Prefix of the keys that Celery's broker makes, where broker and store are one server."""

IDEMPOTENCY_TTL_S: Final = 86_400
PRESENCE_TTL_S: Final = 10
SWEEPER_TTL_MS: Final = (1_000, 3_000)
PASSED_TTL_S: Final = 60
PULSE_TTL_S: Final = 3_600
HOLDERS_TTL_S: Final = 3_600
DELETED_TTL_S: Final = 3_600
MAX_TRIES: Final = 50
SETTLE_MS: Final = 3_000
ALIVE_MS: Final = 500
FIGURES_PART_MS: Final = 300_000
FIGURES_PARTS: Final = 12
"""How many parts the window of the figures has: they are an hour, of which the last part is not over."""
FIGURES_TTL_S: Final = 3_900
MOST_CODES: Final = 100
"""Tasks make up codes of errors; those that come after so many count together, as ``other``."""
WAITER_MS: Final = 60_000
MOST_FAILURES: Final = 100
SMALL_GROUP: Final = 100
"""Of a larger one its parent's log does not tell each change."""
ROOM: Final = 1_000_000
"""How many numbers of a log are passed over where a crash of Redis may have lost events that readers have seen."""

BOUNDS: Final = {
    "durations": (
        *(5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000),
        *(1_800_000, 3_600_000, 14_400_000, 86_400_000),
    ),
    "speeds": tuple(1_000 * per_s for per_s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)),
}
"""Upper bounds of what is counted by size: durations in ms, speeds in thousandths of a token a second."""

SLOTS: Final = 16_384
_ENDS: Final = ("0v", "gn", "rt", "v4", "zy", "2d", "cv", "oc", "zg", "2z", "ch", "4p", "ke", "gp", "6b", "az")
PARTITION_PREFIXES: Final = tuple(f"{{jobs-{end}}}:" for end in _ENDS)
"""What stands for PREFIX in each partition of a cluster. Each slot lies in the middle of a sixteenth of all slots, so
that nodes with as many slots have as many partitions; all are as long as PREFIX, so that ids are where they were."""
PARTITIONS: Final = len(PARTITION_PREFIXES)
_DIGITS: Final = "0123456789abcdef"


_NAMES: Final = {
    "job": JOB,
    "log": LOG,
    "idem": IDEMPOTENCY,
    "deleted": DELETED,
    "deleted_ttl_s": str(DELETED_TTL_S),
    "index": INDEX,
    "queue": QUEUE,
    "passed": PASSED,
    "passed_ttl_s": str(PASSED_TTL_S),
    "due": DUE,
    "leases": LEASES,
    "expiry": EXPIRY,
    "unread": UNREAD,
    "schedules": SCHEDULES,
    "schedule": SCHEDULE,
    "deliveries": DELIVERIES,
    "tries": TRIES,
    "max_tries": str(MAX_TRIES),
    "pulse": PULSE,
    "grace": GRACE,
    "holders": HOLDERS,
    "holders_ttl_s": str(HOLDERS_TTL_S),
    "server": SERVER,
    "unsettled": UNSETTLED,
    "alive": ALIVE,
    "alive_ms": str(ALIVE_MS),
    "doubt": DOUBT,
    "settle_ms": str(SETTLE_MS),
    "room": str(ROOM),
    "line": LINE,
    "turn": TURN,
    "pause": PAUSE,
    "lines": LINES,
    "figures": FIGURES,
    "figures_part": FIGURES_PART,
    "figures_part_ms": str(FIGURES_PART_MS),
    "figures_ttl_s": str(FIGURES_TTL_S),
    "codes": CODES,
    "most_codes": str(MOST_CODES),
    "workers": WORKERS,
    "sweeper": SWEEPER,
    "live": LIVE,
    "activity": ACTIVITY,
    "collection": COLLECTION,
    "collections": COLLECTIONS,
    "vectors": VECTORS,
    "neighbours": NEIGHBOURS,
    "group": GROUP,
    "members": MEMBERS,
    "failures": FAILURES,
    "most_failures": str(MOST_FAILURES),
    "small_group": str(SMALL_GROUP),
    "waiters": WAITERS,
    "waiter_ms": str(WAITER_MS),
    "abandoned": ABANDONED,
}
"""What scripts call them."""


def live(job_id: str) -> str:
    """The pub/sub channel of a job's new events."""
    return LIVE + job_id


def prefix_of(partition: int | None) -> str:
    """What every key of a partition begins with; None is the only one, where there is no cluster."""
    return PREFIX if partition is None else PARTITION_PREFIXES[partition]


def partition_of(job_id: str) -> int:
    """The partition of a job. What is no id is in the first one."""
    return max(0, _DIGITS.find(job_id[-1:]))


def beside(job_id: str, key: str) -> str:
    """An id like this one, of a job in the same partition as all others that are made with a key."""
    return job_id[:-1] + _DIGITS[binascii.crc_hqx(key.encode(), 0) % PARTITIONS]


def slot_of(partition: int) -> int:
    """The slot of a cluster in which a partition is."""
    tag = PARTITION_PREFIXES[partition][1:-2]
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def lua_words(partition: int | None = None) -> dict[str, str]:
    """The names above, and figures that no caller gives, as Lua expressions: scripts spell none of their own."""
    words = {name: f"'{key.replace(PREFIX, prefix_of(partition))}'" for name, key in _NAMES.items()}
    tables = {name: "{" + ",".join(map(str, bounds)) + "}" for name, bounds in BOUNDS.items()}
    return words | tables | {"sharded": "false" if partition is None else _SHARDED}


_SHARDED: Final = "(redis.REDIS_VERSION_NUM ~= nil)"
"""Whether a server knows sharded pub/sub: Redis 7 does, and is the first that tells its version to scripts."""
