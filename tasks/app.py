"""The Celery app: settings for long AI jobs, and the one task that it knows.

Celery only wakes a worker with a job's id. Who may run the job, whether it still should, and how it ended is decided
by the record (`progress`), so a message may come twice, late, or never.
"""

import importlib
from typing import Any, Final

from celery import Celery
from kombu.entity import Queue

from progress.errors import InvalidSettings
from progress.settings import Settings, current
from tasks.broker import Amqp, is_redis, kombu_url, transport, transport_options
from tasks.registry import DEFAULT_QUEUE, kinds, route

BUILT_IN: Final = (
    "tasks.generate",
    "tasks.kinds.score",
    "tasks.kinds.retrain",
    "tasks.kinds.summarise",
    "tasks.kinds.image",
    "tasks.kinds.embed",
    "tasks.kinds.recommend",
    "tasks.kinds.design",
    "tasks.kinds.workflow",
)
RUN: Final = "jobcast.run"
HOUSEKEEPING: Final = "jobcast.housekeeping"
LONGEST_S: Final = 24 * 3600
"""No attempt takes longer than this, whatever its job says."""
_WORKER: Final = {
    "worker_prefetch_multiplier": 1,
    "worker_max_tasks_per_child": 500,
    # True loses jobs on a cut connection: they are revoked and acknowledged, but never run again.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # It asks the broker for fewer messages from a pool's thread, while the main one reads the same AMQP connection:
    # each takes the other's answers, and the worker waits for ever.
    "worker_enable_prefetch_count_reduction": False,
    "worker_hijack_root_logger": False,
}


def load_kinds(settings: Settings) -> None:
    """Imports every module of tasks, so that their kinds are known, and puts those into other queues that are to be.

    Raises:
        InvalidSettings: JOBCAST_TASKS names a module that there is not, or JOBCAST_ROUTES such a kind.
    """
    for module in (*BUILT_IN, *settings.tasks):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            # One that the module itself misses is the module's fault, and its traceback the better message.
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise InvalidSettings(f"JOBCAST_TASKS: there is no module {module!r} to import from here") from None
    for kind, queue in settings.routes.items():
        if kind not in kinds():
            raise InvalidSettings(f"JOBCAST_ROUTES: there is no kind {kind!r}; there are {', '.join(sorted(kinds()))}")
        route(kind, queue)


def queue_names() -> tuple[str, ...]:
    """Every queue that a kind waits in, and the default one."""
    return tuple(sorted({DEFAULT_QUEUE, *(kind.queue for kind in kinds().values())}))


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's settings."""
    return {
        **_broker(settings),
        **_WORKER,
        # Only Celery's monitors use these: three messages to the broker for each job, and one worker in two seconds.
        "worker_enable_remote_control": settings.celery_events,
        "worker_send_task_events": settings.celery_events,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "enable_utc": True,
        "timezone": "UTC",
        # Results live in the job's record: a result backend would be a second truth.
        "task_ignore_result": True,
        "result_backend": None,
        "task_track_started": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_time_limit": LONGEST_S + 60,
        "task_soft_time_limit": LONGEST_S,
        "task_default_queue": DEFAULT_QUEUE,
        "task_queues": [_queue(settings, name) for name in queue_names()],
        "task_create_missing_queues": True,
        "task_routes": {HOUSEKEEPING: {"queue": DEFAULT_QUEUE}},
        "beat_schedule": {
            "housekeeping": {"task": HOUSEKEEPING, "schedule": 3600.0, "options": {"expires": 3000}},
        },
    }


def _broker(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": kombu_url(settings.broker),
        "broker_transport": transport(settings.broker),
        "broker_transport_options": transport_options(settings),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": 4,
        # RabbitMQ hands messages to a worker that hangs, and takes them back after two to three of these: by then the
        # leases of its jobs are over, and what is sent for them must reach others.
        "broker_heartbeat": max(1, int(settings.lease_s / 3)),
        # RabbitMQ closes the channel of a consumer that acknowledges too late, or whose queue is taken away: the
        # worker opens another one. Otherwise it would end, with all its jobs.
        "broker_channel_error_retry": True,
    }


def _queue(settings: Settings, name: str) -> Queue:
    # Redis has priorities by transport option, RabbitMQ by argument of the queue.
    arguments = None if is_redis(settings.broker) else {"x-max-priority": 9, "x-consumer-timeout": LONGEST_S * 1000}
    return Queue(name, routing_key=name, queue_arguments=arguments)


def make_app(settings: Settings) -> Celery:
    """The app of one process; the kinds must be known before."""
    made = Celery("jobcast", amqp=f"{Amqp.__module__}:{Amqp.__name__}", set_as_current=True)
    made.conf.update(configuration(settings))
    return made


def default_app() -> Celery:
    """The app with the settings of this process, its kinds loaded."""
    settings = current()
    load_kinds(settings)
    return make_app(settings)
