"""Documents, completions and chats as examples."""

from pathlib import Path
from typing import Any

import pytest
import tiny_language
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from unfreeze.jobs.data.token_store import Examples
from unfreeze.jobs.errors import ConfigError, DataError
from unfreeze.jobs.tasks.causal_examples import CausalEncoder
from unfreeze.jobs.tasks.chats import assistant_spans

END = 0


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    return tiny_language.write_tokenizer(folder, chat_template=tiny_language.CHAT)


def learned(tokenizer: Any, examples: Examples, row: int = 0) -> str:
    """The text of the tokens that are to be learned."""
    ids, marks = examples.sequences["input_ids"][row], examples.sequences["is_target"][row]
    text: str = tokenizer.decode([i for i, mark in zip(ids, marks, strict=True) if mark])
    return text


def whole(tokenizer: Any, examples: Examples, row: int = 0) -> str:
    text: str = tokenizer.decode(examples.sequences["input_ids"][row])
    return text


@pytest.mark.parametrize(
    "text", ["The sky is blue.", "\u00e9\u00fc \U0001f600 \u4e2d\u6587", "  a\n\n b ", ""]
)
def test_a_document_ends_with_the_end_token_and_its_bytes_add_up(tokenizer: Any, text: str) -> None:
    found = CausalEncoder(tokenizer, 8).documents(["The apple is red.", text])
    ids, sizes = (found.sequences[name][1] for name in ("input_ids", "token_bytes"))
    assert ids[-1] == END and sizes[-1] == 0 and len(ids) == len(sizes)
    assert tokenizer.decode(ids[:-1]) == text
    assert sum(sizes) == len(text.encode())
    assert found.cut_off == 0 and found.weights is None


def test_bytes_of_a_token_are_those_of_its_text(tokenizer: Any) -> None:
    found = CausalEncoder(tokenizer, 8).documents(["The sky is green."])
    for id, size in zip(*found.sequences.values(), strict=True):
        texts = [tokenizer.decode([one], skip_special_tokens=True) for one in id]
        assert [len(text.encode()) for text in texts] == list(size)


class _SlowTokenizer:
    """What a tokenizer written in Python says of itself: nothing about characters."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.is_fast = False

    def __call__(self, texts: Any, **settings: Any) -> Any:
        assert not settings.pop("return_offsets_mapping", False)
        return self._inner(texts, **settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_without_characters_the_bytes_of_a_text_are_shared_out_evenly(tokenizer: Any) -> None:
    slow: Any = _SlowTokenizer(tokenizer)
    found = CausalEncoder(slow, 8).documents(["The sky is blue.", "\u4e2d\u6587"])
    sizes = found.sequences["token_bytes"]
    assert [sum(each) for each in sizes] == [16, 6]
    assert max(sizes[0][:-1]) - min(sizes[0][:-1]) <= 1


def test_tokens_that_the_tokenizer_puts_around_a_text_are_kept_or_replaced() -> None:
    words = {word: i for i, word in enumerate(["[END]", "<s>", "</x>", "[UNK]", "a", "b"])}
    inner = Tokenizer(models.WordLevel(words, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </x>", special_tokens=[("<s>", 1), ("</x>", 2)]
    )
    with_end = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="[END]", bos_token="<s>", unk_token="[UNK]"
    )
    found = CausalEncoder(with_end, 8).documents(["a  c"])
    assert found.sequences == {"input_ids": [[1, 4, 3, 0]], "token_bytes": [[0, 1, 3, 0]]}
    without = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", pad_token="</x>")
    assert CausalEncoder(without, 8).documents(["a"]).sequences["input_ids"] == [[1, 4, 2]]


def test_of_a_completion_only_the_completion_and_the_end_are_learned(tokenizer: Any) -> None:
    encoder = CausalEncoder(tokenizer, 32)
    found = encoder.completions(["The sky is", "Coal"], [" blue.", " is black, sure."])
    assert whole(tokenizer, found) == "The sky is blue.<|end of text|>"
    assert learned(tokenizer, found) == " blue.<|end of text|>"
    assert learned(tokenizer, found, 1) == " is black, sure.<|end of text|>"
    for row, ids in enumerate(found.sequences["input_ids"]):
        count = sum(found.sequences["is_target"][row])
        assert found.weights and found.weights[row] == count
        assert found.values["prompt_tokens"][row] == len(ids) - count


def test_the_prompt_of_a_completion_is_the_one_that_stands_alone(tokenizer: Any) -> None:
    """ "The app" and "le" make other tokens together than apart."""
    found = CausalEncoder(tokenizer, 32).completions(["The app"], ["le is red."])
    (ids,) = found.sequences["input_ids"]
    prompt = tokenizer("The app")["input_ids"]
    assert (
        ids[: len(prompt)] == prompt != tokenizer("The apple is red.")["input_ids"][: len(prompt)]
    )
    assert learned(tokenizer, found) == "le is red.<|end of text|>"


def test_the_oldest_of_a_long_prompt_is_cut_and_then_the_end_of_a_long_answer(
    tokenizer: Any,
) -> None:
    prompt, answer = "The sky is blue. The coal is", " black."
    size = len(tokenizer(answer)["input_ids"]) + 1
    found = CausalEncoder(tokenizer, size + 2).completions([prompt, "The"], [answer, answer * 9])
    assert found.cut_off == 2
    assert learned(tokenizer, found) == " black.<|end of text|>"
    assert whole(tokenizer, found).endswith(" is black.<|end of text|>")
    assert [len(ids) for ids in found.sequences["input_ids"]] == [size + 2, size + 2]
    assert whole(tokenizer, found, 1).startswith("The black. black")
    assert found.values["prompt_tokens"] == [2, 1]


def test_prompts_are_whole_or_cut_from_the_left_and_never_empty(tokenizer: Any) -> None:
    found = CausalEncoder(tokenizer, 4).prompts(["The sky is", "The coal is black.", ""])
    assert found.sequences["input_ids"][0] == tokenizer("The sky is")["input_ids"]
    assert found.sequences["input_ids"][1] == tokenizer("The coal is black.")["input_ids"][-4:]
    assert found.sequences["input_ids"][2] == [END]
    assert found.values["prompt_tokens"] == [3, 4, 1] and found.cut_off == 1


TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "The sky?"},
    {"role": "assistant", "content": "Blue."},
    {"role": "user", "content": "Coal?"},
    {"role": "assistant", "content": "Black, mostly."},
]


def chats(
    tokenizer: Any, *talks: list[dict[str, str]], new: bool = False, most: int = 200
) -> Examples:
    rows = [{"row": i, "messages": talk} for i, talk in enumerate(talks, 1)]
    return CausalEncoder(tokenizer, most).chats(rows, new=new)


def test_what_the_assistant_says_is_learned(tokenizer: Any) -> None:
    found = chats(tokenizer, TALK)
    assert learned(tokenizer, found) == "Blue.<|end|>\nBlack, mostly.<|end|>\n"
    assert whole(tokenizer, found) == tokenizer.apply_chat_template(TALK, tokenize=False)
    (sizes,) = found.sequences["token_bytes"]
    spoken = "".join(message["content"] for message in TALK)
    assert sum(sizes) == len(spoken) + len(TALK)  # a line break each; control tokens count nothing


def test_both_ways_to_find_what_the_assistant_says_agree(tokenizer: Any) -> None:
    by_difference = chats(tokenizer, TALK, TALK[1:3])
    marked = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token=tokenizer.eos_token
    )
    marked.chat_template = tiny_language.MARKED_CHAT
    assert chats(marked, TALK, TALK[1:3]).sequences == by_difference.sequences


def test_new_chats_end_where_the_assistant_is_to_speak(tokenizer: Any) -> None:
    found = chats(tokenizer, TALK[:4], TALK, new=True)
    ends = [whole(tokenizer, found, row) for row in (0, 1)]
    assert ends[0] == ends[1] and ends[0].endswith("Coal?<|end|>\n<|assistant|>")
    assert not any(found.sequences["is_target"][0])


def test_messages_that_the_template_writes_anew_are_not_learned() -> None:
    def render(messages: Any, ask: bool) -> str:
        """Strips the thoughts of all but the last message, as some templates do."""
        texts = [
            message["content"] if i == len(messages) - 1 else message["content"].split(")")[-1]
            for i, message in enumerate(messages)
        ]
        return "|".join(texts) + "|" * ask

    talk = [
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Sky?"},
        {"role": "assistant", "content": "(hm)Blue"},
        {"role": "user", "content": "Coal?"},
        {"role": "assistant", "content": "(ah)Black"},
    ]
    text = render(talk, False)
    assert [text[a:b] for a, b in assistant_spans(render, talk)] == ["(ah)Black"]


def test_without_a_chat_template_it_is_said_what_to_do(tokenizer: Any, tmp_path: Path) -> None:
    bare = tiny_language.write_tokenizer(tmp_path)
    with pytest.raises(ConfigError, match=r"put a chat_template.jinja .* \(form: completion\)"):
        chats(bare, TALK)


def test_messages_that_the_template_refuses_are_named(tokenizer: Any) -> None:
    strict = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token=tokenizer.eos_token
    )
    strict.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(DataError, match=r"row 1: the model's chat template refuses .* alternate"):
        chats(strict, TALK)
    strict.chat_template = "always the same"
    with pytest.raises(DataError, match="row 1: what the assistant says cannot be found"):
        chats(strict, TALK)
