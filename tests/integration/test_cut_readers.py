"""Fifty jobs at once, each followed by four readers that are cut off ten times each, at random places."""

import asyncio
import random
from itertools import pairwise

import httpx
import pytest

from tests.integration.readers import NdjsonReader, Reader, SseReader, TextReader, WebSocketReader
from tests.support.live import Live
from tests.support.seeds import seed_of

pytestmark = [pytest.mark.integration, pytest.mark.slow]

JOBS, CUTS = 50, 10
AT_ONCE = 10
"""Submissions under way: each is of up to 400 KB, and all of them together would be a test of the machine."""
PIECES = 120
SPECIAL = (
    "\U0001f9d1\U0001f3fd\u200d\U0001f680", "é", "\r", "\n", "\r\n", "\n\n", "\u2028", "\u2029", "\x85", "\x0b\x0c",
    "\x00", "\x1f", "\x7f", '"', "\\", "\\n", "data: x\n\nid: 7\n\n", ": ping\n", "\ufeff", "</script>", "0\r\n\r\n",
)  # fmt: skip


@pytest.fixture
def seed() -> str:
    """What chance hangs on."""
    return seed_of("CUTS_SEED")


def words(chance: random.Random) -> list[str]:
    """What one job says: many small tokens, and one of 100 KB in some place."""
    pieces = [chance.choice(SPECIAL) if chance.random() < 0.4 else f"w{number} " for number in range(PIECES)]
    pieces[chance.randrange(PIECES)] = chance.choice("xé𝄞") * (100_000 // chance.choice((1, 2, 4)))
    return pieces


async def submit(client: httpx.AsyncClient, pieces: list[str]) -> str:
    """A job that says these."""
    answer = await client.post(
        "/v1/jobs", json={"kind": "speak", "input": {"pieces": pieces, "pause_s": 0.02, "repeat": 2}}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def readers(live: Live, job_id: str, chance: random.Random, size: int) -> list[Reader]:
    """Four readers of one job, each with its own ten cuts; half of them want every event for itself."""

    def cuts() -> list[int]:
        # Most cuts lie close together, where the small tokens are; some lie anywhere.
        return [chance.randrange(chance.choice((200, 5000, size // 4))) for _ in range(CUTS)]

    kinds = (SseReader, NdjsonReader, WebSocketReader, TextReader)
    return [kind(live, job_id, chance.random() < 0.5, cuts()) for kind in kinds]


def check(reader: Reader, said: bytes) -> None:
    """What every reader is promised."""
    assert reader.ended
    assert reader.text == said
    assert all(earlier < later for earlier, later in pairwise(reader.sequence))
    if reader.exact and reader.sequence:
        assert reader.sequence == list(range(1, reader.cursor + 1))


async def follow_one(live: Live, client: httpx.AsyncClient, turn: asyncio.Semaphore, chance: random.Random) -> int:
    """Submits a job, follows it with four readers, and checks them; how many connections that took."""
    pieces = words(chance)
    said = "".join(pieces * 2).encode()
    async with turn:
        job_id = await submit(client, pieces)
    group = readers(live, job_id, chance, len(said))
    await asyncio.gather(*(reader.follow() for reader in group))
    for reader in group:
        check(reader, said)
    return sum(reader.connections for reader in group)


async def test_readers_that_are_cut_off_ten_times_have_every_byte_once(calm: Live, seed: str) -> None:
    turn = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=calm.url, trust_env=False, timeout=30) as client:
        jobs = [follow_one(calm, client, turn, random.Random(f"{seed}-{number}")) for number in range(JOBS)]
        connections = sum(await asyncio.gather(*jobs))
    # One that met the end by chance before its tenth cut had no more to lose.
    assert connections > JOBS * 4 * CUTS * 0.8
