"""What a candidate is before anything is learned: its size, and how its tokenizer cuts the rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig

from unfreeze.jobs.compare.candidate import Candidate


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a model without any learning."""

    parameters: int
    layers: int
    hidden_size: int | None
    """Numbers that stand for a token between layers; None if its configuration does not say."""
    longest_input: int
    """Tokens that the model takes."""
    max_length: int
    """Tokens at which this job cuts."""
    tokens_per_word: float | None
    """Words are what white space parts; None if there are none."""
    unknown_share: float
    """Tokens that are the unknown one."""
    cut_off_share: float
    """Training rows that are longer than max_length."""


def facts_of(candidate: Candidate) -> Facts:
    """Texts are counted on the rows that it is judged by."""
    texts = _texts(candidate)
    tokens, unknown = _count(candidate.tokenizer, texts)
    words = sum(len(text.split()) for text in texts)
    split = candidate.split
    rows = split.units if split.rows_begin is None else len(split.rows_begin)
    return Facts(
        parameters=sum(candidate.plan.sizes.values()),
        layers=sum(name.startswith("layer.") for name in candidate.plan.names),
        hidden_size=_hidden_size(candidate),
        longest_input=candidate.longest,
        max_length=candidate.job.data.max_length or candidate.longest,
        tokens_per_word=tokens / words if words else None,
        unknown_share=unknown / tokens if tokens else 0.0,
        cut_off_share=candidate.data.cut_off["train"] / max(1, rows),
    )


def _texts(candidate: Candidate) -> list[str]:
    split, units = candidate.split, candidate.units
    if split.rows_begin is not None:  # pieces of a running text: their rows are not whole
        ids = [split.sequence("input_ids", int(unit)).tolist() for unit in units]
        return [str(candidate.tokenizer.decode(each, skip_special_tokens=True)) for each in ids]
    return [text for row in split.rows(units) for text in candidate.task.look(row).texts]


def _count(tokenizer: Any, texts: Sequence[str]) -> tuple[int, int]:
    """Tokens of the texts, and how many of them are the unknown one."""
    tokens = unknown = 0
    if texts:
        for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]:
            tokens += len(ids)
            unknown += ids.count(tokenizer.unk_token_id)
    return tokens, unknown


def _hidden_size(candidate: Candidate) -> int | None:
    config = AutoConfig.from_pretrained(
        candidate.located, trust_remote_code=candidate.job.model.trust_remote_code
    )
    size: int | None = getattr(config.get_text_config(), "hidden_size", None)
    return size
