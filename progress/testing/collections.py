"""The twin's scripts of collections. Values are text that stands for bytes: what is not UTF-8 is in surrogates."""

from typing import Any

from progress.testing.keyspace import Keyspace


def _size(text: str) -> int:
    return len(text.encode(errors="surrogateescape"))


def _touch(space: Keyspace, name: str, ttl_s: str) -> None:
    for part in ("collections", "vectors"):
        space.ttls[part, name] = space.now() + int(ttl_s) * 1000


def put_vectors(space: Keyspace, name: str, model: str, dimensions: str, most: str, ttl_s: str, *flat: str) -> Any:
    """put_vectors.lua"""
    now = space.now()
    server = space.notice(now)
    known = space.collections.get(name)
    state = known or {"version": "0", "dimensions": dimensions, "model": model, "bytes": "0"}
    vectors = space.vectors.get(name, {})

    def reply(answer: str) -> Any:
        count = len(space.vectors.get(name, {}))
        return [answer, int(state["version"]), count, int(state["dimensions"]), state["model"], server]

    if (state["dimensions"], state["model"]) != (dimensions, model):
        return reply("other")
    new = {name: value for name, value in zip(flat[::2], flat[1::2], strict=True) if vectors.get(name) != value}
    more = sum(_size(new[one]) - (_size(vectors[one]) if one in vectors else -_size(one)) for one in new)
    if int(state["bytes"]) + more > int(most):
        return reply("full")
    if new:
        state |= {"version": str(max(int(state["version"]) + 1, now)), "bytes": str(int(state["bytes"]) + more)}
        space.collections[name] = state
        space.vectors.setdefault(name, {}).update(new)
    _touch(space, name, ttl_s)
    return reply("ok")


def read_collection(space: Keyspace, name: str, ttl_s: str) -> Any:
    """read_collection.lua"""
    now = space.now()
    state = space.collections.get(name)
    if state is None:
        return [space.missing(now), 0, 0, 0, "", space.server]
    _touch(space, name, ttl_s)
    count = len(space.vectors[name])
    return ["ok", int(state["version"]), count, int(state["dimensions"]), state["model"], space.notice(now)]


def list_collections(space: Keyspace) -> Any:
    """list_collections.lua"""
    space.now()
    return list(space.collections)


def read_vectors(space: Keyspace, name: str, cursor: str, limit: str) -> Any:
    """read_vectors.lua"""
    space.now()
    version = int(space.collections.get(name, {}).get("version", 0))
    items, end = list(space.vectors.get(name, {}).items()), int(cursor) + int(limit)
    page = [part for item in items[int(cursor) : end] for part in item]
    return [version, str(end) if end < len(items) else "0", page]


def keep_neighbours(space: Keyspace, name: str, k: str, version: str, ttl_s: str, found: str) -> Any:
    """keep_neighbours.lua"""
    now = space.now()
    if space.collections.get(name, {}).get("version") != version:
        return 0
    space.neighbours[f"{name}:{k}"] = (version, found)
    space.ttls["neighbours", f"{name}:{k}"] = now + int(ttl_s) * 1000
    return 1


def read_neighbours(space: Keyspace, name: str, k: str, version: str, ttl_s: str) -> Any:
    """read_neighbours.lua"""
    now = space.now()
    kept, found = space.neighbours.get(f"{name}:{k}", ("", ""))
    if kept != version:
        return ""
    space.ttls["neighbours", f"{name}:{k}"] = now + int(ttl_s) * 1000
    return found
