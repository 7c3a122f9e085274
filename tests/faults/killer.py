"""The random killer: breaks one thing after another, as chance will have it, and mends what does not mend itself."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import redis

from tests.faults.crew import Crew
from tests.support.live import Child, Live
from tests.support.waiting import wait_until

WORKER_DEEDS: Final = ("kill", "kill", "pool", "freeze", "freeze", "stop", "stop", "cut")
"""What is done to workers, in the proportion in which it is done. ``cut`` cuts every connection to Redis."""
LOST_MS: Final = 700
"""Of how long Redis loses all writes in a crash."""
CALM_S: Final = 4
"""How long before such a crash, and after it, nothing else is done. What Redis loses is written again by whoever wrote
it; what one wrote that has died since cannot come back."""


class Killer:
    """Does its deeds in the thread that calls ``run``.

    That must be one that lives as long as what is started again here: a child goes with the thread that has started it
    (server/leash.py).

    Args:
        lasts_s, every_s: how long it goes on, and about how far apart its deeds are.
        redis, crash, api: how often, beside the deeds to workers, Redis is killed, how often it loses its last writes
            as well, and how often the API is told to stop or killed.
        lease_s: that of the workers: some are frozen for longer, some are not.
    """

    def __init__(
        self,
        live: Live,
        crew: Crew,
        chance: random.Random,
        *,
        lasts_s: float,
        every_s: float,
        lease_s: float,
        redis: int = 1,
        crash: int = 1,
        api: int = 3,
    ) -> None:
        self.done: list[str] = []
        self._live = live
        self._crew = crew
        self._chance = chance
        self._lease_s = lease_s
        self._lasts_s = lasts_s
        self._every_s = every_s
        self._plan = self._planned(redis, crash, api)
        self._later: list[tuple[float, Callable[[], object]]] = []

    def _planned(self, redis: int, crash: int, api: int) -> list[str]:
        deeds = round(self._lasts_s / self._every_s) - redis - crash - api
        times = -(-deeds // len(WORKER_DEEDS))
        plan = self._chance.sample(WORKER_DEEDS * times, deeds)
        rare = ["redis"] * redis + ["crash"] * crash + ["api-term", "api-kill"] * (api // 2) + ["api-term"] * (api % 2)
        self._chance.shuffle(rare)
        # Spread evenly, so that what one has broken is whole before the next one comes.
        for number, deed in enumerate(rare, 1):
            plan.insert(number * len(plan) // (len(rare) + 1), deed)
        return plan

    def run(self) -> None:
        """Carries out its plan."""
        began = started = time.monotonic()
        for number, deed in enumerate(self._plan):
            self._until(started + (number + self._chance.uniform(0.2, 0.8)) * self._every_s)
            self.done.append(f"{time.monotonic() - began:.1f} {deed}")
            self._act(deed)
            # One that took long puts off those that follow: they are not made up for all at once.
            started += max(0.0, time.monotonic() - started - (number + 1) * self._every_s)
        self._until(started + self._lasts_s)
        self._until(max((at for at, _ in self._later), default=0))

    def counts(self) -> Counter[str]:
        """How often it has done what."""
        return Counter(deed.split()[1] for deed in self.done)

    def _until(self, moment: float) -> None:
        """Its pace: nothing is waited for here but time, and what is to be mended meanwhile."""
        while True:
            due = min(self._later, default=None, key=lambda later: later[0])
            if due is None or due[0] > moment:
                time.sleep(max(0.0, moment - time.monotonic()))
                return
            time.sleep(max(0.0, due[0] - time.monotonic()))
            self._later.remove(due)
            due[1]()

    def _after(self, seconds: float, action: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + seconds, action))

    def _act(self, deed: str) -> None:
        worker = self._chance.choice(self._crew.workers)
        acts: dict[str, Callable[[], object]] = {
            "kill": lambda: worker.kill(group=True),
            "pool": lambda: self._kill_child(worker),
            "freeze": lambda: self._freeze(worker),
            "stop": lambda: worker.kill(signal.SIGTERM),
            "cut": self._cut,
            "api-term": lambda: self._restart_api(signal.SIGTERM),
            "api-kill": lambda: self._restart_api(signal.SIGKILL),
            "redis": lambda: self._kill_redis(self._live.redis.kill),
            "crash": self._crash_redis,
        }
        acts[deed]()

    def _kill_child(self, worker: Child) -> None:
        """Kills a pool process, where the worker has some."""
        children = [int(pid) for file in Path(f"/proc/{worker.pid}/task").glob("*/children")
                    for pid in file.read_text().split()]  # fmt: skip
        if children:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(sorted(children)), signal.SIGKILL)

    def _freeze(self, worker: Child) -> None:
        worker.kill(signal.SIGSTOP, group=True)
        self._after(self._chance.uniform(0.3, 3) * self._lease_s, lambda: worker.kill(signal.SIGCONT, group=True))

    def _cut(self) -> None:
        # Redis may be away at this moment.
        with suppress(redis.ConnectionError):
            for kind in ("normal", "pubsub"):
                self._live.redis.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def _restart_api(self, number: int) -> None:
        self._live.stop_api(number)
        self._after(self._chance.uniform(0, 2), self._live.start_api)

    def _kill_redis(self, kill: Callable[[], object]) -> None:
        kill()
        self._after(self._chance.uniform(0.1, 4), self._live.redis.start)

    def _crash_redis(self) -> None:
        for _, mend in sorted(self._later, key=lambda later: later[0]):
            mend()
        self._later.clear()
        self._calm()
        self._live.redis.lose_tail(LOST_MS)
        self._live.redis.start()
        self._calm()

    def _calm(self) -> None:
        """Returns once every worker has been there for a while."""
        since = time.monotonic()

        def is_calm() -> bool:
            nonlocal since
            if not self._crew.is_whole:
                since = time.monotonic()
            return time.monotonic() - since > CALM_S

        wait_until(is_calm, 60)
