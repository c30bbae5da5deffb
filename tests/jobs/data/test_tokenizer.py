"""The tokenizer as training needs it."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from unfreeze.jobs.config import ModelConfig
from unfreeze.jobs.data.tokenizer import decoder, load_tokenizer, tokenizer_hash
from unfreeze.jobs.encoder import Encoder
from unfreeze.jobs.errors import ModelError

SPECIAL = {"unk_token": "[UNK]", "pad_token": "[PAD]"}


def save_tokenizer(folder, words=("good", "bad", "film"), **special):
    names = list(dict.fromkeys(["[UNK]", "[PAD]", "[END]", *words]))
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(names)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [END]", pair="$A [END] $B:1 [END]:1", special_tokens=[("[END]", 2)]
    )
    names = ["input_ids", "token_type_ids", "attention_mask"]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=names, padding_side="left", **special
    )
    fast.save_pretrained(folder)
    return str(folder)


def load(folder):
    return load_tokenizer(str(folder), ModelConfig(path="models/tiny"))


def test_padding_is_on_the_right_whatever_the_model_says(tmp_path):
    assert load(save_tokenizer(tmp_path, **SPECIAL)).padding_side == "right"


@pytest.mark.parametrize(
    ("special", "pad"),
    [
        ({"pad_token": "[PAD]", "eos_token": "[END]"}, "[PAD]"),
        ({"eos_token": "[END]", "unk_token": "[UNK]"}, "[END]"),
        ({"unk_token": "[UNK]"}, "[UNK]"),
    ],
)
def test_the_pad_token_falls_back_to_end_and_unknown(tmp_path, special, pad):
    assert load(save_tokenizer(tmp_path, **special)).pad_token == pad


def test_a_tokenizer_without_a_token_to_pad_with_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"models/tiny: .* no token to pad with"):
        load(save_tokenizer(tmp_path))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ModelError, match="models/tiny: its tokenizer cannot be loaded"):
        load(tmp_path)


def test_a_folder_with_a_config_only_gives_no_empty_tokenizer(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="no tokenizer files"):
        load(tmp_path)


def test_the_hash_tells_vocabularies_apart_and_is_not_moved_by_use(tmp_path):
    one = load(save_tokenizer(tmp_path / "1", **SPECIAL))
    same = load(save_tokenizer(tmp_path / "2", **SPECIAL))
    other = load(save_tokenizer(tmp_path / "3", ("good", "film", "bad"), **SPECIAL))
    before = tokenizer_hash(one)
    one(["good film"], truncation=True, max_length=2, padding=True)
    assert before == tokenizer_hash(one) == tokenizer_hash(same) != tokenizer_hash(other)


def test_what_is_longer_than_max_length_is_cut_and_counted(tmp_path):
    encoder = Encoder(load(save_tokenizer(tmp_path, **SPECIAL)), 4)
    tokens, types = encoder.encode(["good film", "good bad film", "good bad film good"])
    assert tokens == [[3, 5, 2], [3, 4, 5, 2], [3, 4, 5, 2]]
    assert types is None and encoder.cut_off == 1


def test_a_tokenizer_written_in_python_counts_the_same(tmp_path):
    fast = load(save_tokenizer(tmp_path, **SPECIAL))

    class Slow:
        model_input_names = fast.model_input_names
        unk_token_id = 0

        def __call__(self, *args, **settings):
            encoded = fast(*args, **settings)
            encoded._encodings = None
            return encoded

    encoder = Encoder(Slow(), 4)
    encoder.encode(["good film", "good bad film", "good bad film good"])
    encoder.encode(["good", "good"], ["film", "bad film"])
    assert encoder.cut_off == 2


def test_pairs_say_which_text_a_token_is_of(tmp_path):
    encoder = Encoder(load(save_tokenizer(tmp_path, **SPECIAL)), 8)
    tokens, types = encoder.encode(["good film"], ["bad"])
    assert tokens == [[3, 5, 2, 4, 2]] and types == [[0, 0, 0, 1, 1]]


def test_a_text_of_which_nothing_is_left_becomes_one_token(tmp_path):
    tokenizer = load(save_tokenizer(tmp_path, **SPECIAL))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    assert Encoder(tokenizer, 8).encode([" ", "good"])[0] == [[0], [3]]


def test_ids_become_text_without_the_special_tokens(tmp_path):
    decode = decoder(load(save_tokenizer(tmp_path, eos_token="[END]", **SPECIAL)))
    assert decode([3, 5, 2, 1]) == "good film"
    assert decode([]) == ""
