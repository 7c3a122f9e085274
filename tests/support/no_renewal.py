"""Named in JOBCAST_TASKS, it switches off the renewal of messages, so that those of long jobs come again."""

from typing import Any

from tasks import transport


def _nothing(_qos: Any, *_tags: str) -> None:
    pass


transport._QoS._renew = _nothing  # type: ignore[method-assign,assignment]  # a worker without it is tested
