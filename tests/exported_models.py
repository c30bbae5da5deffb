"""What transformers alone makes of an exported model, against what its job said of the same rows.

By its pipelines where it has one for the task. For questions and for rewriting it has had none
since version 5: there it is the model of its Auto class, by the book.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    pipeline,
)

Lines = Sequence[dict[str, Any]]


def check_texts(folder: Path, lines: Lines) -> None:
    """The probability of each label: the job's has the temperature that is in the model's
    configuration, the pipeline's has not."""
    classify: Any = pipeline("text-classification", model=str(folder), device="cpu")
    found = classify([line["text"] for line in lines], top_k=None)
    temperature = getattr(classify.model.config, "unfreeze_temperature", None) or 1.0
    for line, scores in zip(lines, found, strict=True):
        assert scores[0]["label"] == line["predicted"]
        scaled = {one["label"]: one["score"] ** (1 / temperature) for one in scores}
        whole = sum(scaled.values())
        said = {label: score / whole for label, score in scaled.items()}
        assert said == pytest.approx(line["probabilities"], abs=1e-5)


def check_entities(folder: Path, lines: Lines) -> None:
    """The entities of the rows of one window, as the pipeline groups them."""
    ask: Any = pipeline("token-classification", model=str(folder), device="cpu")
    short = [line for line in lines if len(line["tokens"]) < 8]
    assert len(short) > 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        words = [line["tokens"] for line in short]
        grouped = ask(words, is_split_into_words=True, aggregation_strategy="first")
    for line, entities in zip(short, grouped, strict=True):
        places = np.cumsum([0, *(len(word) + 1 for word in line["tokens"])])
        assert [
            (one["type"], places[one["start"]], places[one["end"]] - 1) for one in line["entities"]
        ] == [(one["entity_group"], one["start"], one["end"]) for one in entities]


def check_answers(folder: Path, lines: Lines) -> None:
    """The best span of all windows, or none by the threshold in the model's configuration."""
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for line in lines[:30]:
        windows = tokenizer(
            line["question"],
            line["context"],
            truncation="only_second",
            max_length=32,
            stride=8,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        names = ("input_ids", "attention_mask", "token_type_ids")
        with torch.no_grad():
            outputs = model(**{name: windows[name] for name in names if name in windows})
        best, nulls = (-1e9, ""), []
        for window in range(len(windows["input_ids"])):
            starts, ends = outputs.start_logits[window], outputs.end_logits[window]
            sides = windows.sequence_ids(window)
            nulls.append((starts[0] + ends[0]).item())
            for i in range(len(sides)):
                for j in range(i, min(i + 4, len(sides))):
                    if sides[i] == sides[j] == 1:
                        places = windows["offset_mapping"][window]
                        text = line["context"][places[i][0] : places[j][1]]
                        best = max(best, ((starts[i] + ends[j]).item(), text))
        is_none = min(nulls) - best[0] > model.config.null_score_threshold
        assert line["predicted"] == ("" if is_none else best[1])


def check_going_on(folder: Path, lines: Lines) -> None:
    """The greedy continuation of each sample."""
    write: Any = pipeline("text-generation", model=str(folder), device="cpu")
    samples = [line for line in lines if "continuation" in line]
    assert len(samples) == 2
    for line in samples:
        options = {"do_sample": False, "max_new_tokens": 32, "return_full_text": False}
        (found,) = write(line["prompt"], **options)
        assert found["generated_text"] == line["continuation"]


def check_rewriting(folder: Path, lines: Lines) -> None:
    """The texts, by the model's own generation settings."""
    assert texts_of(folder, [line["source"] for line in lines]) == [
        line["predicted"] for line in lines
    ]


def texts_of(folder: Path, sources: list[str], **options: int) -> list[str]:
    """What a model folder's own generation makes of sources, all at once."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    batch = tokenizer(sources, padding=True, return_tensors="pt")
    mask = batch.attention_mask
    found = model.generate(input_ids=batch.input_ids, attention_mask=mask, **options)
    return [text.strip() for text in tokenizer.batch_decode(found, skip_special_tokens=True)]


CHECKS: dict[str, Callable[[Path, Lines], None]] = {
    "text-classification": check_texts,
    "token-classification": check_entities,
    "question-answering": check_answers,
    "text-generation": check_going_on,
    "text2text-generation": check_rewriting,
}
"""By task. Each raises AssertionError where the two differ."""
