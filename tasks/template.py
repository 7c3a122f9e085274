"""Messages of a Redis broker, made from one that Celery has made: to ask it for each costs ten times as much.

The message that wakes a worker is the same for every job of a queue and a priority, but for the job's id and two ids
of its own (Celery's message protocol 2 in kombu's envelope). So Celery and kombu make one, for a job that there is
not, and the ids are put into that.
"""

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from celery import signals

JOB: Final = "00000000-0000-4000-8000-000000000000"
TASK: Final = "11111111-1111-4111-8111-111111111111"
_TAG: Final = "22222222-2222-4222-8222-222222222222"
_BODY: Final = "33333333-3333-4333-8333-333333333333"


def is_asked_for() -> bool:
    """Whether somebody wants to see each message before it goes, or after: then Celery has to make it."""
    return bool(signals.before_task_publish.receivers or signals.after_task_publish.receivers)


@dataclass(frozen=True)
class Template:
    """The message of a queue and a priority: the list that it is pushed on, and its text for any job."""

    key: str
    _text: str
    _body: str

    @classmethod
    def of(cls, key: str, message: dict[str, Any]) -> "Template":
        """From kombu's message of the task TASK for the job JOB, as it would be put into the list ``key``."""
        body = base64.b64decode(message["body"]).decode()
        properties = {**message["properties"], "delivery_tag": _TAG}
        text = json.dumps({**message, "body": _BODY, "properties": properties})
        return cls(key, _form(text, JOB, TASK, _TAG, _BODY), _form(body, JOB))

    def message(self, job_id: str, make_id: Callable[[], object] = uuid.uuid4) -> str:
        """The message for a job, as JSON. The id must be one of ours: it is put in as it is."""
        body = base64.b64encode((self._body % (job_id,)).encode()).decode()
        return self._text % {JOB: job_id, TASK: make_id(), _TAG: make_id(), _BODY: body}


def _form(text: str, *places: str) -> str:
    """``text`` as a form for the operator %, with these ids as names; or with the one id by its place."""
    text = text.replace("%", "%%")
    for place in places:
        text = text.replace(place, f"%({place})s" if len(places) > 1 else "%s")
    return text
