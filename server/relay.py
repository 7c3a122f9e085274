"""A Relay: what carries one job's events to one reader, driven by the Hub while its client keeps up.

A task that is woken for each event costs more than all the rest of relaying. So there is none: a message that
came from Redis steps the connection's ``send()`` once, there and then. That ends at once unless the client is slow
and the transport's buffer full; then the coroutine is dropped before it has written anything (uvicorn waits first
and writes then), and a task takes over that reads after the cursor and waits as long as it must, until it has
caught up.
"""

import asyncio
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send

from progress.errors import StoreUnavailable
from progress.hub import RETRY_S, Hub, HubClosing, Subscription
from progress.jobs import Job
from server.encoding import PING, RETRY_MS, Encode, TextBroken, TextEncoder, encoder, goodbye
from server.negotiation import StreamRequest
from server.state import State
from server.wire import Chunks, Wire, let_go

RETRY: Final = b"retry: %d\n" % RETRY_MS
AT_ONCE_BYTES: Final = 64 * 1024
"""A reader who is behind gets about so much in one turn of the event loop: those who follow live wait for it."""
_CHUNKS: Final = Chunks()
_FIRST_CHUNKS: Final = Chunks(RETRY)


class Relay:
    """One reader of one job. Everything is released when it ends, however it does."""

    __slots__ = (
        "_at_once",
        "_done",
        "_drivable",
        "_encode",
        "_failure",
        "_first",
        "_hub",
        "_is_sse",
        "_owner",
        "_pumping",
        "_quiet",
        "_send",
        "_shares",
        "_state",
        "_subscription",
        "_text",
        "_ticked",
        "_wire",
        "_woken",
    )

    def __init__(self, state: State, job: Job | None, request: StreamRequest) -> None:
        self._state = state
        self._hub: Hub = state.hub
        self._text = TextEncoder(request.channel, job) if job and request.format == "text" else None
        self._is_sse = request.format == "sse"
        self._shares = self._is_sse and request.types is None
        self._encode: Encode = self._text.encode if self._text else encoder(request)
        # Plain text has a memory (of what became void), so what was encoded must be sent.
        self._drivable = self._text is None
        self._subscription: Subscription
        self._wire: Wire | None = None
        self._send: Send
        self._owner: asyncio.Task[Any] | None = None
        self._pumping: asyncio.Task[None] | None = None
        self._woken = False
        self._first = True
        self._quiet = False
        self._at_once = 0
        self._ticked = -1
        self._done = False
        self._failure: BaseException | None = None

    async def open(self, job_id: str, after: int, *, exact: bool) -> None:
        """Takes its place among the readers. Raises JobNotFound, StoreUnavailable."""
        self._subscription = await self._hub.subscribe(job_id, after, waker=self, exact=exact)
        self._state.relays.add(self)
        self._hub.waiting.add(self)

    def release(self) -> None:
        """Leaves every place it has, for good: a pump that has just ended may still want to go on."""
        self._done = True
        self._subscription.close()
        self._state.relays.discard(self)
        self._hub.waiting.discard(self)

    async def serve(self, head: Message, receive: Receive, send: Send, scope: Scope | None = None) -> None:
        """Streams until the log or the client ends. Lets go of ``scope``, which nobody else may need any more."""
        self._send = send
        try:
            await send(head)
            if scope:
                let_go(scope, send)
            del head, scope
            self._wire = Wire.of(send) if self._shares else None
            self._owner = asyncio.current_task()
            if not self._begin():
                self._pump()
            # A response that is complete brings a disconnect as well, so this ends in any case.
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if self._failure is None:
                raise
            self._give_up(self._failure)
        finally:
            self.release()
            if self._pumping:
                self._pumping.cancel()

    def _begin(self) -> bool:
        """Sends what memory holds without a task for it, if that is not much; False where something is left to do."""
        self._at_once, subscription = AT_ONCE_BYTES, self._subscription
        # Of a log that has ended nothing comes any more: its last chunk is the pump's.
        while self._wire and self._at_once > 0 and not subscription.ended and subscription.take_sse(self._send_now):
            if subscription.up_to_date:
                self._keep_step()
                return True
        return False

    def _send_now(self, body: bytes) -> bool:
        """Sends a body if that is done at once, and the process does not go."""
        first, self._at_once = self._first, self._at_once - len(body)
        if self._hub.closing or self._finishes(self._send_first(body)):
            return not self._hub.closing
        self._first = first
        return False

    @staticmethod
    def _finishes(sending: Any) -> bool:
        """Steps a coroutine that sends; False where it would have to wait, and then nothing is written."""
        try:
            sending.send(None)
        except StopIteration:
            return True
        except OSError:
            return True  # The client has left; ``receive`` is about to say so.
        sending.close()
        return False

    def _give_up(self, failure: BaseException) -> None:
        if self._owner:
            self._owner.uncancel()
        # Returning without a last chunk makes the server cut the connection: the client sees that the text it has is
        # not the right one, as it would not after a clean end.
        if not isinstance(failure, TextBroken):
            raise failure

    def wake(self) -> None:
        """Called by the Feed: there may be something to send."""
        if self._owner is None:
            return  # Its head is not sent yet; the first pump finds what there is.
        if self._pumping:
            self._woken = True
        elif self._done:
            return
        elif self._hub.closing or self._first or not self._drivable:
            self._subscription.leave_step()
            self._pump()
        elif not self._drive():
            self._pump()
        else:
            self._keep_step()

    def _keep_step(self) -> None:
        """Nothing is left to send: what comes may be written by the Feed itself."""
        if self._wire and not self._first and not self._done:
            self._subscription.keep_step(self._wire)

    def tick(self) -> None:
        """Called from time to time: after silence, a comment that keeps proxies awake."""
        head, self._ticked = self._ticked, self._subscription.head
        quiet = self._ticked == head if self._subscription.in_step else self._quiet
        if quiet and self._is_sse and self._owner and not self._pumping and not self._done:
            self._step(PING)
        self._quiet = True

    def _drive(self) -> bool:
        """Sends what the Feed's tail holds. False where that cannot be done at once."""
        body = self._subscription.peek_sse() if self._shares else self._peek()
        if body is None or (body and not self._step(body)):
            return False
        self._subscription.advance()
        return not self._subscription.ended

    def _peek(self) -> bytes | None:
        events = self._subscription.peek()
        return None if events is None else self._encode(events)

    def _step(self, body: bytes) -> bool:
        """Steps ``send`` once; False where it would have to wait, and then nothing is written."""
        self._quiet = False
        return self._finishes(self._send(_chunk(body)))

    def _pump(self) -> None:
        self._woken = False
        self._pumping = asyncio.create_task(self._catch_up())
        self._pumping.add_done_callback(self._pumped)

    def _pumped(self, task: "asyncio.Task[None]") -> None:
        self._pumping = None
        if task.cancelled():
            return
        if failure := task.exception():
            self._failure = failure
            if self._owner:
                self._owner.cancel()
        elif self._woken:
            self.wake()
        else:
            self._keep_step()

    async def _catch_up(self) -> None:
        """Sends what there is, from the Log and the tail, waiting for the client; returns once nothing is left."""
        try:
            while not self._subscription.ended:
                try:
                    body = await self._poll()
                except StoreUnavailable:
                    # An open stream stays open: the Hub reads again once Redis is back.
                    await asyncio.sleep(RETRY_S)
                    continue
                if body is None:
                    return
                await self._send_first(body)
                self._at_once -= len(body)
                if self._at_once < 0:
                    # Nothing above has to wait where memory holds the page and the socket takes it.
                    await asyncio.sleep(0)
                    self._at_once = AT_ONCE_BYTES
        except HubClosing:
            await self._end(goodbye() if self._is_sse else b"", whole=False)
        except OSError:
            self._done = True  # The client has left, and this server says so in this way.
        else:
            await self._end(b"", whole=not self._subscription.lost)

    async def _poll(self) -> bytes | None:
        """What is to be sent next, empty where its client does not want it; None where there is nothing."""
        if self._shares:
            return await self._subscription.poll_sse() or None
        entries = await self._subscription.poll()
        return self._encode(entries) if entries else None

    async def _send_first(self, body: bytes) -> None:
        if not body:
            return
        first, self._first, self._quiet = self._first and self._is_sse, False, False
        if self._wire and self._wire.write((_FIRST_CHUNKS if first else _CHUNKS).of(body)):
            return
        await self._send(_chunk(RETRY + body if first else body))

    async def _end(self, body: bytes, *, whole: bool) -> None:
        self._done = True
        if self._text and not (whole and self._text.whole):
            raise TextBroken
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def _chunk(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}
