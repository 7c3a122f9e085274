"""The Feed: the next event is taken, a known one ignored, a gap told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress.events import Event, Gap
from progress.feed import TAIL_BYTES, TAIL_EVENTS, Feed, Framing, gap_before


def event(seq: int, kind: str = "token", size: int = 0) -> Event:
    raw = b'{"seq":%d,"type":"%b","attempt":1,"text":"%b"}' % (seq, kind.encode(), b"x" * size)
    return Event.parse(raw)


def feed_of(count: int, *, size: int = 0) -> Feed:
    feed = Feed("j", 0, closed=False)
    for seq in range(1, count + 1):
        assert feed.push(event(seq, size=size).raw) == "taken"
    return feed


def seqs(events: list[Event] | None) -> list[int] | None:
    return None if events is None else [one.seq for one in events]


class Woken:
    def __init__(self) -> None:
        self.times = 0

    def wake(self) -> None:
        self.times += 1


class Written:
    """One that reads along."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.fell_out_at = -1
        self.framing: Framing = lambda _job_id, _first, raws, _tokens: b"\n".join(raws)

    @property
    def raws(self) -> list[bytes]:
        return [raw for frame in self.frames for raw in frame.split(b"\n")]

    def write(self, frame: bytes) -> bool:
        self.frames.append(frame)
        return True

    def fall_out(self, cursor: int) -> None:
        self.fell_out_at = cursor

    def wake(self) -> None: ...


def test_the_next_event_is_taken_and_a_known_one_ignored() -> None:
    feed = feed_of(3)
    assert [feed.push(event(seq).raw) for seq in (2, 3, 4)] == ["known", "known", "taken"]
    assert feed.head == 4


def test_an_event_beyond_the_next_is_a_gap_and_not_taken() -> None:
    feed = feed_of(3)
    assert feed.push(event(6).raw) == "gap"
    assert (feed.head, feed.furthest, seqs(feed.after(3))) == (3, 6, [])
    assert feed.push(event(5).raw) == "gap"
    assert feed.furthest == 6


@given(
    st.lists(st.integers(1, 12), min_size=1),
    st.lists(st.sampled_from(["token", "token", "token", "log", "succeeded"]), min_size=12, max_size=12),
    st.data(),
)
def test_messages_do_what_their_events_would_one_by_one(
    order: list[int], kinds: list[str], data: st.DataObject
) -> None:
    heard, pushed = Feed("j", 0, closed=False), Feed("j", 0, closed=False)
    writer = Written()
    heard.keep_step(writer, writer)
    while order:
        size = data.draw(st.integers(1, len(order)))
        lines = [event(seq, kinds[seq - 1]).raw for seq in order[:size]]
        del order[:size]
        per_message = data.draw(st.integers(1, size))
        messages = [b"\n".join(lines[at : at + per_message]) for at in range(0, size, per_message)]
        before, taken = pushed.head, [pushed.push(line) for line in lines]
        assert heard.hear(messages) == ("gap" not in taken)
        assert (heard.head, heard.closed, heard.furthest) == (pushed.head, pushed.closed, pushed.furthest)
        assert heard.after(0) == pushed.after(0)
        if pushed.closed:
            assert writer.fell_out_at == before
            return
        assert writer.raws == [one.raw for one in pushed.after(0) or []]


def test_each_framing_is_made_once_for_all_who_want_it() -> None:
    feed, writers = feed_of(3), [Written(), Written(), Written()]
    writers[1].framing = lambda _job_id, first, raws, _tokens: b"%d:%d" % (first, len(raws))
    for writer in writers:
        feed.keep_step(writer, writer)
    feed.hear([event(4).raw])
    assert writers[0].frames[0] is writers[2].frames[0]
    assert writers[1].frames == [b"4:1"]


def test_what_is_no_event_keeps_nothing_back() -> None:
    feed, writer = feed_of(3), Written()
    feed.keep_step(writer, writer)
    with pytest.raises(ValueError, match="not found"):
        feed.hear([event(4).raw, b"?"])
    feed.hear([event(5).raw])
    assert writer.raws == [event(4).raw, event(5).raw]


@given(st.lists(st.integers(1, 8)))
def test_in_whatever_order_events_come_none_is_skipped_and_none_twice(order: list[int]) -> None:
    feed = Feed("j", 0, closed=False)
    taken = [seq for seq in order if feed.push(event(seq).raw) == "taken"]
    assert taken == list(range(1, len(taken) + 1))
    assert seqs(feed.after(0)) == taken


def test_a_last_event_closes_the_feed() -> None:
    feed = feed_of(1)
    feed.push(event(2, "succeeded").raw)
    assert (feed.closed, feed.lost) == (True, False)


def test_a_reader_gets_what_comes_after_its_cursor() -> None:
    feed = feed_of(4)
    assert [seqs(feed.after(cursor)) for cursor in (0, 2, 4, 9)] == [[1, 2, 3, 4], [3, 4], [], []]


def test_a_feed_that_began_later_cannot_tell_what_was_before() -> None:
    feed = Feed("j", 7, closed=False)
    feed.push(event(8).raw)
    assert (feed.after(6), seqs(feed.after(7))) == (None, [8])


@pytest.mark.parametrize(("count", "size"), [(100, TAIL_BYTES // 60), (TAIL_EVENTS * 3, 0)])
def test_a_long_tail_loses_its_older_part_and_never_its_order(count: int, size: int) -> None:
    feed = feed_of(count, size=size)
    held = feed.after(feed.base)
    assert seqs(held) == list(range(feed.base + 1, count + 1))
    assert held is not None
    assert sum(len(one.raw) for one in held) <= TAIL_BYTES
    assert len(held) <= TAIL_EVENTS
    assert feed.after(feed.base - 1) is None


def test_an_event_larger_than_a_tail_is_left_to_the_log() -> None:
    feed = feed_of(1)
    feed.push(event(2, "succeeded", size=TAIL_BYTES).raw)
    assert (feed.head, feed.closed, feed.after(1), seqs(feed.after(2))) == (2, True, None, [])


def test_what_the_log_itself_has_lost_is_skipped() -> None:
    feed = feed_of(2)
    feed.push(event(9).raw)
    feed.skip_to(6)
    assert (feed.head, feed.base, feed.furthest, feed.after(2), feed.after(6)) == (6, 6, 9, None, [])
    assert feed.push(event(7).raw) == "taken"
    feed.skip_to(20)
    assert feed.furthest == 20


def test_the_end_may_be_a_loss_and_stays_one() -> None:
    feed = feed_of(1)
    feed.end(lost=True)
    feed.end()
    assert (feed.closed, feed.lost) == (True, True)


def test_a_reader_that_leaves_while_woken_disturbs_nobody() -> None:
    feed, others = feed_of(1), [Woken(), Woken()]

    class Leaving:
        def wake(self) -> None:
            feed.readers.discard(self)

    feed.readers |= {Leaving(), *others}
    feed.wake()
    assert [other.times for other in others] == [1, 1]


def test_sse_blocks_are_made_once_for_all_who_keep_up() -> None:
    feed = feed_of(3)
    blocks = feed.sse_after(1)
    assert blocks == event(2).sse + event(3).sse
    assert feed.sse_after(1) is blocks
    assert feed.sse_after(2) == event(3).sse
    assert feed.sse_after(3) == b""
    feed.push(event(4).raw)
    assert feed.sse_after(2) == event(3).sse + event(4).sse
    assert Feed("j", 5, closed=False).sse_after(4) is None


def test_pages_are_remembered_for_those_who_start_together() -> None:
    feed = Feed("j", 0, closed=False)
    page = feed.remember(0, [event(1), event(2)])
    assert feed.remembered(0) is page
    assert feed.remembered(1) is None
    feed.forget_pages()
    assert feed.remembered(0) is None


@pytest.mark.parametrize(
    ("cursor", "first", "end", "gap"),
    [
        (0, 1, 9, None),
        (3, 4, 9, None),
        (3, 6, 9, (4, 5)),
        (3, None, 9, (4, 9)),
        (9, None, 9, None),
        (12, None, 9, None),
    ],
)
def test_a_gap_is_between_the_cursor_and_what_there_still_is(
    cursor: int, first: int | None, end: int, gap: tuple[int, int] | None
) -> None:
    event = first and Event(first, "token", 1, b"{}")
    assert gap_before(cursor, event or None, end, "j") == (gap and Gap(*gap, "j"))


def test_numbers_that_were_passed_over_are_a_gap_for_those_alone_who_saw_some_of_them() -> None:
    event = Event.parse(b'{"seq":50,"type":"started","attempt":2,"follows":7}')
    assert gap_before(7, event, 50, "j") is None
    assert gap_before(9, event, 50, "j") == Gap(10, 49, "j")
    assert gap_before(5, event, 50, "j") == Gap(6, 49, "j")
