"""The language model: lossless tokens, text that the seed and the prompt decide, and an exact way to go on."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.demo_model.model import (
    CORPUS,
    MOST_TOKENS,
    PIECE_CHARS,
    LanguageModel,
    Prompt,
    count_pieces,
    split_pieces,
)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel.shipped()


def text_of(model: LanguageModel, prompt: Prompt, length: int | None = None) -> str:
    return "".join(model.pieces(prompt, length))


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    pieces = split_pieces(text)

    assert "".join(pieces) == text
    assert len(pieces) == count_pieces(text)


def test_tokens_are_words_with_the_space_before_them_and_long_words_in_parts() -> None:
    assert split_pieces("Hello, streaming world.\n") == ["Hello", ",", " stream", "ing", " world", ".", "\n"]
    assert max(len(piece.strip()) for piece in split_pieces(CORPUS.read_text())) == PIECE_CHARS


def test_a_seed_decides_the_text_and_none_leaves_it_open(model: LanguageModel) -> None:
    assert text_of(model, Prompt("sea", seed=1)) == text_of(model, Prompt("sea", seed=1))
    assert text_of(model, Prompt("sea", seed=1)) != text_of(model, Prompt("sea", seed=2))
    assert text_of(model, Prompt("sea"), 100) != text_of(model, Prompt("sea"), 100)


def test_text_ends_with_a_sentence(model: LanguageModel) -> None:
    texts = [text_of(model, Prompt("", seed=seed)) for seed in range(20)]

    assert {text[-1] for text in texts} <= set(".!?")
    assert all(text[0].strip() for text in texts)
    assert len(set(texts)) == len(texts)


def test_text_of_a_corpus_without_an_end_still_ends() -> None:
    assert len(list(LanguageModel("a b c d").pieces(Prompt("", seed=1)))) == MOST_TOKENS


@pytest.mark.parametrize("length", [0, 1, 7, 3000])
def test_text_may_have_an_exact_length(model: LanguageModel, length: int) -> None:
    assert len(list(model.pieces(Prompt("sea", seed=1), length))) == length


@pytest.mark.parametrize("topic", ["lighthouse", "soup", "queue", "mountain"])
def test_a_prompts_words_come_up_in_the_text(model: LanguageModel, topic: str) -> None:
    def mentions(prompt: str) -> int:
        return sum(topic in text_of(model, Prompt(prompt, 0.7, seed)).lower() for seed in range(40))

    assert mentions(f"Tell me about the {topic}") > 2 * mentions("")


def test_a_prompt_of_strange_words_gets_an_answer_too(model: LanguageModel) -> None:
    assert text_of(model, Prompt("Qwzx!? 123", seed=1))


def test_a_higher_temperature_gives_more_variety(model: LanguageModel) -> None:
    def next_words(temperature: float) -> int:
        return len({text_of(model, Prompt("", temperature, seed, "It was the"), 1) for seed in range(60)})

    assert next_words(0) < next_words(0.7) < next_words(2)


@pytest.mark.parametrize("temperature", [0, 0.7, 2])
def test_a_seeded_text_is_gone_on_with_exactly(model: LanguageModel, temperature: float) -> None:
    whole = text_of(model, Prompt("sea", temperature, 3), 40)

    for at in range(len(whole) + 1):
        assert text_of(model, Prompt("sea", temperature, 3, whole[:at]), 40) == whole[at:]


def test_text_of_another_origin_is_gone_on_with_from_its_last_words(model: LanguageModel) -> None:
    prompt = Prompt("sea", 0, 3, "Once more, the lighthouse with")

    assert text_of(model, prompt, 3) == " her father until"


def test_text_without_a_seed_is_gone_on_with_from_its_last_words(model: LanguageModel) -> None:
    prompt = Prompt("sea", 0, None, "Marta kept the lighthouse")

    # What comes then is a matter of chance, once in a hundred times.
    assert text_of(model, prompt, 2) == " with her"


def test_strange_words_are_gone_on_with_too(model: LanguageModel) -> None:
    assert text_of(model, Prompt("sea", seed=3, given="Qwzx qwzx"), 5)


def test_given_text_that_says_more_than_the_run_is_not_said_again(model: LanguageModel) -> None:
    whole = text_of(model, Prompt("sea", seed=3))

    rest = "".join(islice(model.pieces(Prompt("sea", seed=3, given=whole + " And then")), 20))
    assert rest
    assert not whole.startswith(rest)
