"""Collections of vectors: written by id, read in pages, with a version that tells whether anything has changed."""

import struct
from contextlib import closing
from typing import Any

import pytest

from progress import keys
from progress.collections import MOST_KEPT_BYTES, Collection, Collections, Item
from progress.commands import Command, PutVectors, ReadCollection
from progress.connect import RedisExecutor
from progress.errors import CollectionFull, CollectionMismatch, StoreUnavailable
from progress.testing import Memory
from tests.support.backend import Backend, keys_without_ttl, on_memory
from tests.support.redis_server import RedisServer

TTL_S = 60
MOST_BYTES = 100_000


def vector(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def opened(backend: Backend, name: str = "books", **limits: Any) -> Collection:
    return Collections(backend.executor, **{"most_bytes": MOST_BYTES, "ttl_s": TTL_S, **limits}).open(name)


def items_of(collection: Collection) -> dict[str, Item]:
    return {item.id: item for page in collection.items() for item in page}


def version_of(collection: Collection) -> int:
    state = collection.state()
    assert state is not None
    return state.version


def test_a_collection_that_nobody_has_written_is_none(backend: Backend) -> None:
    books = opened(backend)
    assert books.state() is None
    assert list(books.items()) == []


def test_items_come_back_as_they_were_written_whatever_their_bytes(backend: Backend) -> None:
    books = opened(backend)
    # Bytes that are no UTF-8, and some that are; a label in any language.
    items = [Item(f"id {n}", bytes((n + at) % 256 for at in range(8)), f"Nº {n} 本 🎈" * 30) for n in range(256)]
    books.put("m", items)
    found = items_of(books)
    assert found == {item.id: Item(item.id, item.vector, item.label[:200]) for item in items}
    state = books.state()
    assert state is not None
    assert (state.count, state.dimensions, state.model) == (256, 2, "m")


def test_an_id_that_comes_again_is_replaced_and_never_doubled(backend: Backend) -> None:
    books = opened(backend)
    books.put("m", [Item("a", vector(1, 0)), Item("b", vector(0, 1)), Item("a", vector(3, 4))])
    books.put("m", [Item("b", vector(5, 6), "new")])
    assert items_of(books) == {"a": Item("a", vector(3, 4)), "b": Item("b", vector(5, 6), "new")}


def test_only_what_changes_something_makes_a_new_version(backend: Backend) -> None:
    books = opened(backend)
    books.put("m", [Item("a", vector(1, 0), "x")])
    first = version_of(books)
    books.put("m", [Item("a", vector(1, 0), "x")])
    assert version_of(books) == first
    for change in (Item("a", vector(1, 0), "y"), Item("a", vector(2, 0), "y"), Item("b", vector(2, 0), "y")):
        before = version_of(books)
        books.put("m", [change])
        assert version_of(books) > before


def test_vectors_of_another_model_or_length_are_refused(backend: Backend) -> None:
    books = opened(backend)
    books.put("m", [Item("a", vector(1, 0))])
    with pytest.raises(CollectionMismatch, match="'m' with 2 dimensions"):
        books.put("other", [Item("b", vector(1, 0))])
    with pytest.raises(CollectionMismatch):
        books.put("m", [Item("b", vector(1, 0, 0))])
    assert items_of(books).keys() == {"a"}


def test_a_collection_grows_to_its_limit_and_may_change_there(backend: Backend) -> None:
    books = opened(backend, most_bytes=2 * (8 + 2))
    books.put("m", [Item("a1", vector(1, 0)), Item("a2", vector(1, 0))])
    with pytest.raises(CollectionFull, match="JOBCAST_MAX_COLLECTION_BYTES"):
        books.put("m", [Item("a3", vector(1, 0))])
    with pytest.raises(CollectionFull):
        books.put("m", [Item("a2", vector(1, 0), "l")])
    books.put("m", [Item("a2", vector(7, 7))])
    assert items_of(books) == {"a1": Item("a1", vector(1, 0)), "a2": Item("a2", vector(7, 7))}


def test_collections_are_apart(backend: Backend) -> None:
    opened(backend, "one").put("m", [Item("a", vector(1))])
    opened(backend, "two").put("n", [Item("a", vector(2, 2))])
    assert items_of(opened(backend, "one")) == {"a": Item("a", vector(1))}
    assert items_of(opened(backend, "two")) == {"a": Item("a", vector(2, 2))}


def test_a_large_one_is_read_in_pages(backend: Backend) -> None:
    books = opened(backend, most_bytes=10**7)
    books.put("m", [Item(f"{n:05}", vector(n, n)) for n in range(3_000)])
    pages = [len(page) for page in books.items()]
    assert len(pages) > 2
    assert sum(pages) == 3_000


def test_what_was_found_is_kept_until_something_changes(backend: Backend) -> None:
    books = opened(backend)
    books.put("m", [Item("a", vector(1, 0))])
    version = version_of(books)
    assert books.kept(5, version) is None
    assert books.keep(5, version, b"\xff\x00found \n")
    assert books.kept(5, version) == b"\xff\x00found \n"
    assert books.kept(6, version) is None
    books.put("m", [Item("b", vector(1, 0))])
    assert books.kept(5, version_of(books)) is None
    assert not books.keep(5, version, b"late")
    assert not books.keep(5, version_of(books), b"x" * (MOST_KEPT_BYTES + 1))


@pytest.mark.slow
def test_one_that_is_not_used_goes(backend: Backend) -> None:
    opened(backend, ttl_s=1).put("m", [Item("a", vector(1, 0))])
    books = opened(backend, ttl_s=1)
    version = version_of(books)
    books.keep(1, version, b"found")
    backend.pass_time(550)
    assert books.state() is not None
    backend.pass_time(550)
    # A real server's own expiry is trusted, and costs a second of each run.
    assert items_of(books).keys() == {"a"}
    if backend.name == "memory":
        backend.pass_time(1_100)
        assert books.state() is None
        assert books.kept(1, version) is None


def test_nothing_of_it_stays_for_ever(executor: RedisExecutor, redis_server: RedisServer) -> None:
    books = Collections(executor, most_bytes=MOST_BYTES, ttl_s=TTL_S).open("books")
    books.put("m", [Item("a", vector(1, 0))])
    books.keep(1, version_of(books), b"found")
    assert keys_without_ttl(redis_server) == {"server", "alive"}


def test_what_a_crash_has_lost_is_written_again() -> None:
    backend = on_memory()
    books = opened(backend)
    for lost in ("a", "b"):
        crash = backend.save()
        books.put("m", [Item(lost, vector(1, 0))])
        crash()
        backend.settle()
        assert lost not in items_of(opened(backend))
    books.put("m", [Item("c", vector(3, 0))])
    assert items_of(books).keys() == {"a", "b", "c"}


def test_so_is_what_a_machine_had_not_on_its_disk() -> None:
    # Nothing is held back for a sync that is under way, so that there is something to lose.
    persistent = ("--appendonly", "yes", "--appendfsync", "no")
    with RedisServer(*persistent) as server, closing(RedisExecutor(server.url)) as executor:
        books = Collections(executor, most_bytes=MOST_BYTES, ttl_s=TTL_S).open("books")
        books.put("m", [Item("a", vector(1, 0))])
        kept = server.written()
        books.put("m", [Item("b", vector(2, 0))])
        assert server.crash(kept) > 0
        server.start()
        state = books.state()
        assert state is not None
        assert state.count == 2
        assert items_of(books).keys() == {"a", "b"}


def test_what_has_long_been_on_the_disk_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("progress.collections.KEPT_S", -1)
    backend = on_memory()
    books = opened(backend)
    crash = backend.save()
    for name in ("a", "b"):
        books.put("m", [Item(name, vector(1, 0))])
    crash()
    backend.settle()
    books.put("m", [Item("c", vector(1, 0))])
    assert items_of(books).keys() == {"b", "c"}


def test_of_one_that_a_crash_may_have_taken_nobody_says_that_it_is_gone(backend: Backend) -> None:
    opened(backend).put("m", [Item("a", vector(1, 0))])
    backend.save()()
    with pytest.raises(StoreUnavailable):
        backend.run(ReadCollection("another", TTL_S))


def test_redis_is_waited_for_until_the_task_is_over() -> None:
    memory, calls = Memory(), 0

    def away(_command: object) -> None:
        raise StoreUnavailable("away")

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            memory.before = lambda _command: None

    books = Collections(memory.executor, most_bytes=MOST_BYTES, ttl_s=TTL_S).open("books", check)
    memory.before = away
    books.put("m", [Item("a", vector(1, 0))])
    assert calls == 1
    assert items_of(books).keys() == {"a"}

    def over() -> None:
        raise InterruptedError

    memory.before = away
    with pytest.raises(InterruptedError):
        Collections(memory.executor, most_bytes=MOST_BYTES, ttl_s=TTL_S).open("books", over).state()


def test_a_collection_is_whole_in_one_partition() -> None:
    commands: list[Command[Any]] = [PutVectors("books", "m", 1, 1, 1, ()), ReadCollection("books", 1)]
    places = {keys.partition_of(command.about) for command in commands}
    assert len(places) == 1
    others = {keys.partition_of(ReadCollection(f"collection {n}", 1).about) for n in range(200)}
    assert len(others) == keys.PARTITIONS


def test_the_names_of_all_that_are_there_are_known(backend: Backend) -> None:
    known = Collections(backend.executor, most_bytes=MOST_BYTES, ttl_s=TTL_S)
    assert known.names() == []
    for name in ("films", "books"):
        opened(backend, name).put("m", [Item("a", vector(1, 0))])
    opened(backend, "brief", ttl_s=1).put("m", [Item("a", vector(1, 0))])
    opened(backend, "films").state()
    assert known.names() == ["books", "brief", "films"]


def test_one_that_has_gone_has_no_name_any_more() -> None:
    backend = on_memory()
    opened(backend, "brief", ttl_s=1).put("m", [Item("a", vector(1, 0))])
    opened(backend).put("m", [Item("a", vector(1, 0))])
    backend.pass_time(2_000)
    assert Collections(backend.executor, most_bytes=MOST_BYTES, ttl_s=TTL_S).names() == ["books"]
