"""The app as a whole: what it is made of, and the order in which its parts start and stop."""

from progress.events import encode_json
from server.app import create_app, make_state, page_directory
from tests.support.api import FakeQueue, api_with, settings
from tests.support.asgi import Exchange
from tests.support.redis_server import RedisServer
from tests.support.waiting import until


async def test_the_page_is_at_the_root_and_its_files_beside_it() -> None:
    async with api_with() as api:
        page = await api.client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert (await api.client.head("/")).status_code == 200
        assert (page_directory() / "index.html").read_text() == page.text
        assert (await api.client.get("/static/jobcast.js")).headers["content-type"].startswith("text/javascript")


async def test_nothing_outside_the_page_is_served() -> None:
    async with api_with() as api:
        for path in ("/static/../pyproject.toml", "/static/..%2Fpyproject.toml", "/static/%2e%2e/pyproject.toml"):
            assert (await api.client.get(path)).status_code == 404


async def test_an_app_that_has_stopped_leaves_nothing_behind() -> None:
    async with api_with() as api:
        job_id = api.job()
        await api.client.get(f"/v1/jobs/{job_id}")
    assert api.memory.listeners == set()
    assert api.queue.closed
    assert api.state.hub.closing


async def test_the_parts_of_a_process_work_on_a_real_redis(redis_url: str, redis_server: RedisServer) -> None:
    queue = FakeQueue()
    before = connections(redis_server)
    state = make_state(settings(redis_url=redis_url), queue)
    app = create_app(state)
    async with app.router.lifespan_context(app):
        body = encode_json({"kind": "echo", "input": {"text": "x"}}).encode()
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        async with Exchange(app, "/v1/jobs", method="POST", body=body, headers=headers) as reader:
            await reader.until_body(b"event: queued")
            (job_id,) = await _sent(queue)
            await state.store.cancel(job_id)
            await reader.end()
        assert b"event: cancelled" in reader.body
        assert (await state.store.get(job_id)).status == "cancelled"
        assert connections(redis_server) > before
    await until(lambda: connections(redis_server) == before)


def connections(server: RedisServer) -> int:
    found = server.command("INFO", "clients")
    assert isinstance(found, dict)
    return int(found["connected_clients"])


async def _sent(queue: FakeQueue) -> list[str]:
    await until(lambda: bool(queue.sent))
    return [job_id for job_id, _, _ in queue.sent]


async def test_a_state_counts_its_streams() -> None:
    async with api_with(max_streams=1) as api:
        state = api.state
        assert state.has_room()
        with state.counted():
            assert not state.has_room()
            assert state.streams == 1
        assert state.has_room()
