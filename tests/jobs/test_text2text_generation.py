"""Sources and targets as examples, the loss, what is scored, and what is said of a text."""

import copy
import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny_text2text as tiny
import torch
from pydantic import ValidationError
from sacrebleu.metrics.bleu import BLEU
from tiny_text2text import BEGIN, END, PAD
from tokenizers import processors
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from unfreeze.jobs import ConfigError, ModelError
from unfreeze.jobs.config import ModelConfig
from unfreeze.jobs.data.token_store import Split, SplitWriter
from unfreeze.jobs.data.tokenizer import load_tokenizer
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.metrics import Floats, scores_of
from unfreeze.jobs.model import build_model, describe_model
from unfreeze.jobs.phases import check_weights
from unfreeze.jobs.scoring import Scorer, to_tensors
from unfreeze.jobs.tasks.task import BadRow, Table, Texts
from unfreeze.jobs.tasks.text2text_generation import (
    Text2TextGeneration,
    Text2TextGenerationOptions,
)

ROWS = [
    {"source": "red cat runs", "target": "ROT KATZE RENNT"},
    {"source": "dog", "target": "HUND"},
    {"source": "the bird very old sleeps", "target": "VOGEL RUHT"},
]
SCHEMA = pa.schema([("row", pa.int64()), ("source", pa.string()), ("target", pa.string())])
GENERATED = {"rouge1", "rouge2", "rougeL", "bleu", "chrf"}

MODELS = TemporaryDirectory(prefix="tiny-")  # removed when the tests are over

kinds = pytest.mark.parametrize("kind", tiny.KINDS)


def task_with(**options: Any) -> Text2TextGeneration:
    return Text2TextGeneration(Text2TextGenerationOptions(**options), {})


@cache
def folder_of(kind: str, *, untied: bool = False) -> Path:
    return tiny.write_model(Path(MODELS.name) / f"{kind}-{untied}", kind, untied=untied)


@cache
def tokenizer_of(kind: str) -> Any:
    return load_tokenizer(str(folder_of(kind)), ModelConfig(path=kind))


@cache
def model_of(kind: str) -> Any:
    """One that writes several words."""
    folder = tiny.write_model(Path(MODELS.name) / f"{kind}-loud", kind, loud=True)
    return AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


def decoder_of(kind: str) -> Callable[[Sequence[int]], str]:
    return partial(tokenizer_of(kind).decode, skip_special_tokens=True)


def split_of(
    folder: Path,
    task: Text2TextGeneration,
    kind: str = "t5",
    rows: Sequence[dict[str, str]] = ROWS,
) -> Split:
    """The rows as the task encodes them."""
    numbered = [{"row": i, **row} for i, row in enumerate(rows, 1)]
    with SplitWriter(folder / "split", SCHEMA) as writer:
        writer.add(task.encode(numbered, tokenizer_of(kind), 16), numbered)
    return Split(folder / "split")


def statistics_of(
    folder: Path, task: Text2TextGeneration, kind: str, *, thorough: bool, batch_size: int = 8
) -> Floats:
    split = split_of(folder, task, kind)
    scorer = Scorer(task, PAD, batch_size, decoder_of(kind))
    with torch.no_grad():
        return scorer.statistics(model_of(kind), split, np.arange(3), thorough=thorough)


def batch_of(split: Split, units: Sequence[int] = (0, 1, 2)) -> dict[str, torch.Tensor]:
    return to_tensors(task_with().collate(split, np.array(units, np.int64), PAD), "cpu")


# Rows and examples


@pytest.mark.parametrize(
    ("row", "role"),
    [
        ({"source": " ", "target": "x"}, "source"),
        ({"source": None}, "source"),
        ({"source": "x", "target": "\n"}, "target"),
        ({"source": "x", "target": None}, "target"),
    ],
)
def test_a_row_needs_a_source_and_if_it_has_one_a_target(row: dict[str, Any], role: str) -> None:
    with pytest.raises(BadRow, match="expected text, found none") as caught:
        task_with().look(row)
    assert caught.value.role == role


def test_rows_are_the_same_if_their_sources_are() -> None:
    assert task_with().look(ROWS[0]).texts == task_with().look({"source": "red cat runs"}).texts


@kinds
def test_targets_end_with_the_end_token_and_weigh_their_tokens(kind: str) -> None:
    task, tokenizer = task_with(prefix=tiny.PREFIX + " "), tokenizer_of(kind)
    examples = task.encode(ROWS, tokenizer, 16)
    first = [BEGIN] if kind == "bart" else []
    words = tokenizer.convert_tokens_to_ids
    assert examples.sequences["input_ids"][1] == [*first, *words([tiny.PREFIX, "dog"]), END]
    assert examples.sequences["labels"][1] == [*first, *words(["HUND"]), END]
    assert examples.weights == [float(len(ids)) for ids in examples.sequences["labels"]]
    assert examples.cut_off == 0


def test_a_tokenizer_that_adds_no_end_token_is_helped_within_the_limit(tmp_path: Path) -> None:
    tiny.write_tokenizer(tmp_path, begins=False)
    tokenizer = load_tokenizer(str(tmp_path), ModelConfig(path="tiny"))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    examples = task_with(max_target_length=3).encode(ROWS, tokenizer, 16)
    targets = examples.sequences["labels"]
    assert [ids[-1] for ids in targets] == [END] * 3
    assert [len(ids) for ids in targets] == [3, 2, 3]
    assert END not in examples.sequences["input_ids"][0]


def test_rows_are_counted_once_if_source_or_target_was_cut() -> None:
    rows = [*ROWS, {"source": "the " * 20, "target": "ROT " * 20}]
    tokenizer = tokenizer_of("t5")
    assert task_with().encode(rows, tokenizer, 16).cut_off == 1
    assert task_with(max_target_length=3).encode(rows, tokenizer, 16).cut_off == 2
    assert task_with(max_target_length=3).encode(rows, tokenizer, 4).cut_off == 3
    assert max(map(len, task_with().encode(rows, tokenizer, 16).sequences["labels"])) == 16


def test_rows_to_predict_have_no_targets(tmp_path: Path) -> None:
    examples = task_with().encode([{"source": "dog"}], tokenizer_of("t5"), 16)
    assert list(examples.sequences) == ["input_ids"]


def test_lengths_that_a_model_cannot_take_are_known_by_their_settings() -> None:
    options = Text2TextGenerationOptions.model_validate(
        {"max_target_length": 200, "decoding": {"new_tokens": 300}}
    )
    assert options.lengths == {"max_target_length": 200, "decoding.new_tokens": 300}
    assert task_with().options.lengths == {}


def test_a_step_has_the_tokens_of_sources_and_targets_without_padding(tmp_path: Path) -> None:
    split = split_of(tmp_path, task_with())
    sources, targets = 4 + 2 + 6, 4 + 2 + 3
    assert task_with().tokens(batch_of(split)).item() == sources + targets


def test_targets_are_padded_with_what_the_loss_ignores(tmp_path: Path) -> None:
    split = split_of(tmp_path, task_with())
    batch = batch_of(split, [1, 0])
    assert batch["labels"][0, 2:].tolist() == [-100, -100]
    assert batch["input_ids"][0, 2:].tolist() == [PAD, PAD]
    assert batch_of(split, [])["labels"].shape == (1, 2)


# The model


@pytest.mark.parametrize("kind", ["t5", "bart", "mbart", "m2m_100", "marian"])
def test_the_decoder_is_given_what_transformers_gives_it(kind: str) -> None:
    """mBART shifts in its own way, M2M100 has no method for it."""
    special = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": 5}
    config = AutoConfig.for_model(
        kind, vocab_size=16, **(tiny.T5 if kind == "t5" else tiny.BART), **special
    )
    torch.manual_seed(0)
    model: Any = AutoModelForSeq2SeqLM.from_config(config).eval()
    labels = torch.tensor([[7, 8, 9, END], [10, END, -100, -100]])
    ids = torch.tensor([[7, 8], [9, 10]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    with torch.no_grad():
        outputs = model(**task_with().model_inputs(model, batch))
        theirs = model(**batch)
    assert torch.equal(outputs.logits, theirs.logits)
    loss = task_with().loss(outputs, batch)
    assert loss.item() == pytest.approx(6 * theirs.loss.item(), rel=1e-6)
    assert outputs.past_key_values is None


@kinds
def test_the_loss_of_a_row_does_not_depend_on_what_it_is_padded_to(
    kind: str, tmp_path: Path
) -> None:
    task, model = task_with(), model_of(kind)
    split = split_of(tmp_path, task, kind)
    with torch.no_grad():
        losses = [
            task.loss(model(**task.model_inputs(model, batch)), batch).item()
            for batch in (batch_of(split), *(batch_of(split, [i]) for i in range(3)))
        ]
    assert losses[0] == pytest.approx(sum(losses[1:]), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_loss_is_summed_in_fp32(dtype: torch.dtype, tmp_path: Path) -> None:
    batch = batch_of(split_of(tmp_path, task_with()))
    logits = torch.randn(*batch["labels"].shape, len(tokenizer_of("t5")), dtype=dtype)
    loss = task_with().loss(SimpleNamespace(logits=logits), batch)
    expected = cross_entropy(
        logits.float().flatten(0, 1), batch["labels"].flatten(), reduction="sum"
    )
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_model_whose_decoder_has_no_first_token_is_refused() -> None:
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("t5", vocab_size=16, **tiny.T5))
    with pytest.raises(ModelError, match="decoder_start_token_id"):
        task_with().check_model(model)
    assert task_with().check_model(model_of("t5")) == []


# Blocks


def sizes_of(kind: str, *, untied: bool = False) -> dict[str, int]:
    folder = str(folder_of(kind, untied=untied))
    return describe_model(folder, ModelConfig(path=kind), task_with()).sizes


@kinds
def test_the_layers_of_the_decoder_go_on_counting_and_tied_weights_are_embeddings(
    kind: str,
) -> None:
    plan = describe_model(str(folder_of(kind)), ModelConfig(path=kind), task_with())
    assert plan.names == ("embeddings", "layer.0", "layer.1", "layer.2", "layer.3", "head")
    blocks = {block.name: block.parameters for block in plan.blocks}
    shared = {"t5": "shared.weight", "bart": "model.shared.weight"}[kind]
    assert shared in blocks["embeddings"]
    assert all("encoder" in name for name in blocks["layer.1"])
    assert all("decoder" in name for name in (*blocks["layer.2"], *blocks["layer.3"]))
    assert blocks["head"] == {"t5": ("decoder.final_layer_norm.weight",), "bart": ()}[kind]


def test_an_output_layer_that_only_the_files_hold_apart_is_of_the_head() -> None:
    """T5 1.1 and Flan-T5: transformers takes them for tied until it has read the weights."""
    folder = str(folder_of("t5", untied=True))
    plan = describe_model(folder, ModelConfig(path="t5"), task_with())
    built = build_model(folder, ModelConfig(path="t5"), task_with(), seed=0, pad_token_id=PAD)
    names = [name for block in plan.blocks for name in block.parameters]
    assert sorted(names) == sorted(name for name, _ in built.named_parameters())
    assert "lm_head.weight" in plan.blocks[-1].parameters
    assert sizes_of("t5", untied=True)["head"] == sizes_of("t5")["head"] + 32 * len(
        tokenizer_of("t5")
    )


def test_a_phase_without_weights_of_its_own_is_a_mistake() -> None:
    def job(*trained: str) -> Any:
        phases = [{"train": each, "for": "1ep"} for each in trained]
        return parse_job(
            {
                "name": "x",
                "model": "x",
                "task": "text2text-generation",
                "data": {"train": "x.jsonl"},
                "phases": phases,
            }
        )

    with pytest.raises(ConfigError, match=r"phases.1.train: head has no weights of its own"):
        check_weights(job("all", "head"), sizes_of("bart"))
    check_weights(job("all", "head"), sizes_of("t5"))
    check_weights(job("last:1", "all"), sizes_of("bart"))


def test_a_job_that_names_no_phases_trains_the_top_of_the_decoder_first() -> None:
    settings = {"name": "x", "model": "x", "data": {"train": "x.jsonl"}}
    job = parse_job({**settings, "task": "text2text-generation"})
    assert [phase.train for phase in job.phases] == [("last:2",), ("all",)]
    assert (job.metric, job.mode) == ("loss", "min")


# Scores


@kinds
def test_without_generation_the_metrics_of_texts_are_left_out(kind: str, tmp_path: Path) -> None:
    task = task_with()
    statistics = statistics_of(tmp_path, task, kind, thorough=False)
    found = scores_of(task.metrics, statistics)
    assert set(found) == {"loss", "next_token_accuracy"}
    with torch.no_grad():
        batch = batch_of(Split(tmp_path / "split"))
        labels = batch["labels"]
        outputs = model_of(kind)(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels
        )
    right = (outputs.logits.argmax(-1) == labels)[labels >= 0].float().mean()
    assert found["loss"] == pytest.approx(outputs.loss.item(), rel=1e-5)
    assert found["next_token_accuracy"] == pytest.approx(right.item())


@kinds
def test_scores_of_texts_are_those_of_what_is_predicted(kind: str, tmp_path: Path) -> None:
    task = task_with(decoding={"new_tokens": 5})
    statistics = statistics_of(tmp_path, task, kind, thorough=True)
    split, decode = Split(tmp_path / "split"), decoder_of(kind)
    with torch.no_grad():
        kept = Scorer(task, PAD, 8, decode).keep(model_of(kind), split, np.arange(3), thorough=True)
    said = list(task.predictions(kept, split, np.arange(3), decode))
    found = scores_of(task.metrics, statistics)
    assert len(set(kept["said"].ravel())) > 3
    assert set(found) == GENERATED | {"loss", "next_token_accuracy"}
    texts, truth = [one["predicted"] for one in said], [row["target"] for row in ROWS]
    assert found["bleu"] == pytest.approx(BLEU().corpus_score(texts, [truth]).score / 100)
    assert found["rougeL"] == pytest.approx(np.mean([one["rougeL"] for one in said]), abs=1e-6)


@kinds
@pytest.mark.parametrize("beams", [1, 3])
def test_texts_do_not_depend_on_what_else_is_in_the_batch(
    kind: str, beams: int, tmp_path: Path
) -> None:
    task = task_with(decoding={"beams": beams, "new_tokens": 6})
    found = [
        statistics_of(tmp_path / str(size), task, kind, thorough=True, batch_size=size)
        for size in (1, 8)
    ]
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.parametrize("forced", [None, END])
@pytest.mark.parametrize("new_tokens", [3, 9])
def test_a_text_that_had_to_end_is_cut_off(
    forced: int | None, new_tokens: int, tmp_path: Path
) -> None:
    """A model that is made to end at the limit has no text without an end token."""
    task, model = task_with(decoding={"new_tokens": new_tokens}), copy.deepcopy(model_of("bart"))
    model.generation_config.forced_eos_token_id = forced
    split = split_of(tmp_path, task, "bart")
    scorer = Scorer(task, PAD, 8, decoder_of("bart"))
    with torch.no_grad():
        kept = scorer.keep(model, split, np.arange(3), thorough=True)
    most = new_tokens - (forced is not None)
    assert kept["said_tokens"].tolist() == [most, 0, most]
    assert kept["cut_off"].tolist() == [True, False, True]


def test_a_length_penalty_without_beams_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="length_penalty has no effect without beams"):
        task_with(decoding={"length_penalty": 2.0})
    assert task_with(decoding={"length_penalty": 2.0, "beams": 2}).options.decoding.beams == 2


@pytest.mark.parametrize("beams", [1, 2])
def test_a_model_with_settings_of_its_own_generates_by_itself_what_is_scored(
    beams: int, tmp_path: Path
) -> None:
    """As old folders have them: in config.json, beams and limits among them."""
    folder = tiny.write_model(tmp_path / "model", "bart")
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    own = {"num_beams": 4, "max_length": 9, "min_length": 5, "early_stopping": True}
    own |= {"length_penalty": 2.0, "no_repeat_ngram_size": 3, "forced_bos_token_id": BEGIN}
    (folder / "config.json").write_text(json.dumps(config | own))
    task = task_with(decoding={"beams": beams, "new_tokens": 7})
    model: Any = build_model(str(folder), ModelConfig(path="x"), task, seed=0, pad_token_id=PAD)
    task.check_model(model)
    split = split_of(tmp_path, task, "bart")
    scorer = Scorer(task, PAD, 8, decoder_of("bart"))
    with torch.no_grad():
        kept = scorer.keep(model.eval(), split, np.arange(3), thorough=True)
    model.save_pretrained(tmp_path / "exported")
    exported = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "exported")
    batch = batch_of(split)
    found = exported.generate(batch["input_ids"], attention_mask=batch["attention_mask"])
    assert exported.generation_config.min_length == 5
    assert kept["said_tokens"].min() >= 5
    width = kept["said"].shape[1]
    assert found[:, 1:].tolist() == kept["said"].tolist() and width <= 7


@kinds
def test_a_prediction_says_how_long_the_text_is_and_whether_it_was_cut(
    kind: str, tmp_path: Path
) -> None:
    task, decode = task_with(), decoder_of(kind)
    split = split_of(tmp_path, task, kind)
    words = tokenizer_of(kind).convert_tokens_to_ids
    said = np.array([[*words(["ROT", "KATZE"]), END, PAD], words(["HUND"] * 4), [END, 0, 0, 0]])
    cut_off = np.array([False, True, False])
    kept = {"said": said, "said_tokens": np.array([2, 4, 0]), "cut_off": cut_off}
    found = list(task.predictions(kept, split, np.arange(3), decode))
    start = kind == "bart"
    assert found[0] == {
        "predicted": "ROT KATZE",
        "predicted_tokens": 2,
        "cut_off": False,
        "target_tokens": 3 + start,
        "rougeL": 0.8,
    }
    assert (found[1]["predicted"], found[1]["cut_off"]) == ("HUND HUND HUND HUND", True)
    assert (found[2]["predicted"], found[2]["rougeL"]) == ("", 0.0)


def test_new_rows_are_written_without_being_scored(tmp_path: Path) -> None:
    task, decode = task_with(decoding={"new_tokens": 4}), decoder_of("t5")
    rows = [{"row": 1, "source": "dog"}, {"row": 2, "source": "red cat"}]
    with SplitWriter(tmp_path / "new", SCHEMA) as writer:
        writer.add(task.encode(rows, tokenizer_of("t5"), 16), rows)
    split = Split(tmp_path / "new")
    with torch.no_grad():
        kept = Scorer(task, PAD, 8, decode).keep(model_of("t5"), split, np.arange(2), thorough=True)
    found = list(task.predictions(kept, split, np.arange(2), decode))
    assert [set(one) for one in found] == [{"predicted", "predicted_tokens", "cut_off"}] * 2


# The report


def prediction(row: int, rouge: float, **changes: Any) -> dict[str, Any]:
    return {
        "row": row,
        "source": f"source {row}",
        "target": f"target\n{row}",
        "predicted": "said",
        "rougeL": rouge,
        "predicted_tokens": 1,
        "target_tokens": row,
        "cut_off": False,
        **changes,
    }


def test_the_report_shows_lengths_and_the_worst_and_the_usual_texts() -> None:
    predictions = [prediction(row, row / 100) for row in range(1, 100)]
    predictions[5] |= {"cut_off": True, "predicted_tokens": 7}
    lengths, worst, usual = task_with().sections(predictions, "test")
    assert isinstance(lengths.body, Table)
    assert lengths.body.rows == [("target", 1, 50, 50, 99), ("predicted", 1, 1, 1.1, 7)]
    assert "1 of 99 test rows (1.0 %) ran into the limit of 7 tokens" in lengths.note
    assert isinstance(worst.body, Texts) and isinstance(usual.body, Texts)
    assert worst.body.items[0] == (
        "ROUGE-L 1.0 %; row 1",
        "source 1\n> target: target 1\n> predicted: said",
    )
    assert [said for said, _ in usual.body.items][5] == "ROUGE-L 50.0 %; row 50"


def test_the_report_says_when_rouge_cannot_read_the_targets() -> None:
    rows = [prediction(1, 0.5), prediction(2, 0.0, target="\u043a\u043e\u0442")]
    lengths, worst, _ = task_with().sections(rows, "test")
    assert "1 targets have none of them" in worst.note
    assert lengths.note == "In tokens. Every text ended by itself."
    assert [section.title for section in task_with().sections([], "test")] == ["Texts"]
