"""Each Redis operation as a script, its arguments and a parser of its reply: values only, no I/O.

Whoever executes a command (``progress/connect.py``, or the twin in ``progress/testing.py``) gives back what ``parse``
makes of the reply. The scripts say what they do, take and answer; ``scripts/common.lua`` holds what they share.
"""

from progress.commands.attempts import (
    Answer,
    Append,
    Appended,
    BeginAttempt,
    Begun,
    Claim,
    FinishAttempt,
    Finished,
    Granted,
    Heartbeat,
    Outcome,
)
from progress.commands.command import Arg, Command, R, Script, script
from progress.commands.jobs import (
    Ahead,
    CancelJob,
    Cancelled,
    Created,
    CreateJob,
    Deleted,
    DeleteJob,
    Lifetimes,
    ListJobs,
    ReadJob,
    read_record,
)
from progress.commands.logs import LOG_PAGE, LOG_PAGE_BYTES, LogPage, ReadHeads, ReadLog, Watched
from progress.commands.spread import Spread
from progress.commands.workers import (
    Bury,
    Health,
    Holders,
    LongWaiting,
    QueueHealth,
    ReadHealth,
    Sweep,
    Waiting,
    WorkerSeen,
)

__all__ = [
    "LOG_PAGE",
    "LOG_PAGE_BYTES",
    "Ahead",
    "Answer",
    "Append",
    "Appended",
    "Arg",
    "BeginAttempt",
    "Begun",
    "Bury",
    "CancelJob",
    "Cancelled",
    "Claim",
    "Command",
    "CreateJob",
    "Created",
    "DeleteJob",
    "Deleted",
    "FinishAttempt",
    "Finished",
    "Granted",
    "Health",
    "Heartbeat",
    "Holders",
    "Lifetimes",
    "ListJobs",
    "LogPage",
    "LongWaiting",
    "Outcome",
    "QueueHealth",
    "R",
    "ReadHeads",
    "ReadHealth",
    "ReadJob",
    "ReadLog",
    "Script",
    "Spread",
    "Sweep",
    "Waiting",
    "Watched",
    "WorkerSeen",
    "read_record",
    "script",
]
