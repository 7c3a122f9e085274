"""Processes: fibers that live and die together, and the network between them and the store."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from progress.commands import Command
from progress.errors import StoreUnavailable
from tests.contract.promises.fiber import Fiber, answering, ask
from tests.contract.promises.world import Party, Pause, World

R = TypeVar("R")
Plan = tuple[str, ...]
"""What becomes of the first requests of something that a process does; the others are ``answered``.

``lost`` never arrives; ``unanswered`` is done, but its reply is lost; ``later`` waits until somebody goes on with it.
"""


class Broken(StoreUnavailable):
    """The connection broke before there was an answer."""


class Wire:
    """An Executor on fibers. As RedisExecutor does, it sends a command again at once where the connection broke."""

    def run(self, command: Command[R]) -> R:
        """See Executor."""
        try:
            reply: R = ask(command)
        except Broken:
            reply = ask(command)
        return reply

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """See Executor: all are answered, or none is."""
        lost = Broken("nothing was sent")
        for _ in range(2):
            try:
                return [ask(command) for command in commands]
            except Broken as error:
                lost = error
        return [lost] * len(commands)

    def close(self) -> None:
        """See Executor."""


class AsyncWire(Wire):
    """An AsyncExecutor on fibers."""

    async def run(self, command: Command[R]) -> R:  # type: ignore[override]
        """See AsyncExecutor."""
        return super().run(command)

    async def close(self) -> None:  # type: ignore[override]
        """See AsyncExecutor."""


def drive(coroutine: Coroutine[Any, Any, R]) -> R:
    """Runs a coroutine that waits for nothing but an AsyncWire."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: R = stop.value
        return result
    raise AssertionError("it waits for the event loop")


class Process:
    """One process: each of its threads does one thing at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = False
        self.fibers: dict[str, Fiber] = {}

    def is_free(self, thread: str) -> bool:
        """Whether the thread of that name does nothing."""
        return thread not in self.fibers

    def do(self, thread: str, function: Callable[[], object], plan: Plan, *, sleeps: bool = False) -> None:
        """Does something in a thread. A function that sleeps at times needs one of its own."""
        if "later" in plan or sleeps:
            self.fibers[thread] = Fiber(function)
            self.go_on(thread, plan)
        else:
            fates = iter(plan)
            answering(lambda command: self._sent(command, next(fates, "answered")), function)

    def go_on(self, thread: str, plan: Plan) -> None:
        """Takes a thread on: by its plan, and then as far as it comes."""
        fiber, fates = self.fibers[thread], iter(plan)
        while (request := fiber.request) is not None:
            if isinstance(request, Pause):
                if request.until > self.world.clock.ms:
                    return
                fiber.answer(None)
            elif (fate := next(fates, "answered")) == "later":
                return
            else:
                fiber.answer(self._sent(request, fate))
        del self.fibers[thread]

    def _sent(self, command: Command[Any], fate: str) -> Any:
        """What comes back of a command."""
        reply = None if fate == "lost" else self.world.run(command, self)
        return reply if fate == "answered" else Broken(fate)

    def keeps(self, job_id: str) -> bool:
        """See Party."""
        return False

    def die(self) -> None:
        """Ends all of its threads at once."""
        self.dead = True
        for fiber in self.fibers.values():
            fiber.kill()
        self.fibers.clear()


class Direct:
    """An Executor whose commands are done at once."""

    def __init__(self, world: World, party: Party) -> None:
        self._world = world
        self._party = party

    def run(self, command: Command[R]) -> R:
        """See Executor."""
        reply = self._world.run(command, self._party)
        if isinstance(reply, StoreUnavailable):
            raise reply
        return reply

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """See Executor."""
        return [self.run(command) for command in commands]

    def close(self) -> None:
        """See Executor."""
