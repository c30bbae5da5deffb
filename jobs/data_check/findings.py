"""What people should know of the data, in sentences, the worst first, each with what to do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from unfreeze.jobs.data.checks import GENERAL
from unfreeze.jobs.data_check.duplicates import Duplicates
from unfreeze.jobs.data_check.encodings import Fault
from unfreeze.jobs.data_check.labels import LabelBalance
from unfreeze.jobs.data_check.lengths import Lengths, SplitLengths
from unfreeze.jobs.data_check.scripts import SplitScripts
from unfreeze.jobs.data_check.tokenizer_fit import TokenizerFit
from unfreeze.jobs.data_check.typicality import ODD_SHARE, SplitFit

MANY_CUT = 0.01
ONE_SIDED = 0.8
"""Share of the most frequent label from which on the others are in danger of being ignored."""
APART = 0.1
"""Half the sum of the differences between the label shares of two splits."""
ENOUGH_ROWS = 100
"""Splits with fewer rows differ by chance."""
MANY_ODD = 3 * ODD_SHARE
MANY_UNKNOWN = 0.001
MANY_TOKENS = 1.5
"""Tokens per word, as a multiple of those of plain English. This bound and the others here are
rules of thumb of ours."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about the data that its owner should know."""

    severity: Severity
    """A job with errors does not begin."""
    weight: float
    """How bad it is, beside others of its severity."""
    text: str


def ordered(findings: Iterator[Finding]) -> list[Finding]:
    """Errors first, and of each severity the worst."""
    return sorted(findings, key=lambda f: (f.severity != "error", -f.weight))


def of_training(errors: Sequence[str], warnings: Sequence[str]) -> Iterator[Finding]:
    """What the checks say that every training begins with."""
    yield from (Finding("error", 1, text) for text in errors)
    yield from (Finding("warning", 2, text) for text in warnings)


def of_lengths(
    lengths: Lengths, looked: Mapping[str, int], rows: Mapping[str, int]
) -> Iterator[Finding]:
    """`looked`: rows of each split that are looked at; `rows`: all of them."""
    cut = {
        name: (split.longer, looked[name]) if split.cut_off is None else (split.cut_off, rows[name])
        for name, split in lengths.splits.items()
    }
    many = {name: n for name, (n, of) in cut.items() if n and n >= MANY_CUT * of}
    if not many:
        return
    by_task = [name for name, n in many.items() if lengths.splits[name].longer < n / 2]
    of = {name: of for name, (_, of) in cut.items()}
    text, weight = f"{_rows(many, of)} are cut off", 1.4 + _share(many, of)
    if by_task:
        text += ", mostly by a length of the task's own (see task:) and not by max_length"
    else:
        first = lengths.splits[next(iter(many))]
        text += f" at max_length {_count(lengths.max_length)}{_better(first, lengths)}"
    yield Finding("warning", weight, text)


def _better(split: SplitLengths, lengths: Lengths) -> str:
    """Which max_length would cut off less."""
    for share, length in reversed(split.cuts_no_more.items()):
        rounded = -(-length // 8) * 8
        if lengths.max_length < rounded <= lengths.limit:
            return f"; data.max_length={rounded} would cut off no more than {share}"
    if lengths.limit > lengths.max_length:
        return f"; data.max_length={lengths.limit} is the most that this model takes"
    return "; this model takes no more, so cut the texts up yourself or take another model"


def of_labels(labels: LabelBalance | None) -> Iterator[Finding]:
    if not labels or not labels.is_single or not sum(labels.rows.get("train", [])):
        return
    train = labels.rows["train"]
    if (share := train[0] / sum(train)) >= ONE_SIDED and len(train) > 1:
        yield Finding(
            "warning",
            1.2,
            f"{percent(share)} of the train rows have the label {labels.names[0]}: whoever always "
            "says so is as often right, so choose by f1 (training.metric) and add rows of the rest",
        )
    for name, counts in labels.rows.items():
        if name in ("train", GENERAL) or min(sum(train), sum(counts)) < ENOUGH_ROWS:
            continue
        shares = [(a / sum(train), b / sum(counts)) for a, b in zip(train, counts, strict=True)]
        if (apart := sum(abs(a - b) for a, b in shares) / 2) >= APART:
            place = max(range(len(shares)), key=lambda i: abs(shares[i][0] - shares[i][1]))
            a, b = shares[place]
            yield Finding(
                "warning",
                1.25 + apart,
                f"labels are spread otherwise in {name} than in train ({labels.names[place]}: "
                f"{percent(b)} there, {percent(a)} in train); make sure that this is meant",
            )


def of_duplicates(
    duplicates: Duplicates, looked: Mapping[str, int], rows: Mapping[str, int]
) -> Iterator[Finding]:
    """Exact ones across splits are an error or a warning of the training's own checks."""
    repeats = {found.split: found.rows for found in duplicates.exact if found.split == found.other}
    if repeats:
        text = (
            f"{_rows(repeats, rows)} repeat an earlier row of the split; they count twice, so take "
            "them out unless the model will meet them as often"
        )
        yield Finding("warning", 1 + _share(repeats, rows), text)
    near = {found.split: found.rows for found in duplicates.near if found.split == found.other}
    if near:
        text = f"{_rows(near, looked)} nearly repeat an earlier row of the split"
        yield Finding("warning", 0.9 + _share(near, looked), text)
    for other in dict.fromkeys(found.other for found in duplicates.near):
        across = {
            found.split: found.rows
            for found in duplicates.near
            if found.other == other != found.split
        }
        if across:
            text = (
                f"{_rows(across, looked)} are nearly the same as a row of {other}, so their scores "
                "will be too good; take them out of one of the two"
            )
            yield Finding("warning", 3 + _share(across, looked), text)
    if torn := sum(found.other_label for found in duplicates.near):
        text = (
            f"{_count(torn)} of the near-duplicates {'is' if torn == 1 else 'are'} labelled "
            "otherwise than the row that they repeat; read them, for one of the two is likely wrong"
        )
        yield Finding("warning", 1.8, text)


def of_faults(faults: Sequence[Fault], looked: Mapping[str, int]) -> Iterator[Finding]:
    for fault in faults:
        text = f"{_rows(fault.rows, looked)} have {fault.name}: {fault.advice}"
        yield Finding("warning", 1.5 + _share(fault.rows, looked), text)


def of_scripts(scripts: Mapping[str, SplitScripts], looked: Mapping[str, int]) -> Iterator[Finding]:
    usual = next(iter(scripts["train"].shares), None)
    found = {
        name: sum(split.others.values())
        for name, split in scripts.items()
        if split.others and name != GENERAL
    }
    if found:
        others = dict.fromkeys(script for name in found for script in scripts[name].others)
        text = (
            f"{_rows(found, looked)} are mainly in another script than {usual} "
            f"({', '.join(others)}); make sure that they belong here"
        )
        yield Finding("warning", 0.8 + _share(found, looked), text)


def of_tokenizer(tokenizer: TokenizerFit | None) -> Iterator[Finding]:
    if tokenizer is None:
        return
    cut, english = tokenizer.train, tokenizer.english
    if cut.unknown_tokens >= MANY_UNKNOWN:
        words = ", ".join(word.word for word in cut.hard_words if word.is_unknown)
        yield Finding(
            "warning",
            1.6 + cut.unknown_tokens,
            f"the tokenizer does not know {percent(cut.unknown_tokens)} of the tokens"
            f"{f' (such as in {words})' * bool(words)}: the model cannot tell them apart; take a "
            "model for this language and domain",
        )
    if tokenizer.spaced and cut.tokens_per_word and english.tokens_per_word:
        ratio = cut.tokens_per_word / english.tokens_per_word
        if ratio >= MANY_TOKENS:
            yield Finding(
                "warning",
                1.1,
                f"the tokenizer cuts the words into {cut.tokens_per_word:.2f} tokens each, "
                f"{ratio:.1f} times as many as in plain English: texts take more room and are "
                "learned from less well; a model for this language or domain may do better",
            )


def of_fit(fit: Mapping[str, SplitFit], looked: Mapping[str, int]) -> Iterator[Finding]:
    for name, split in fit.items():
        if name not in ("train", GENERAL) and split.odd >= MANY_ODD and looked[name] >= ENOUGH_ROWS:
            yield Finding(
                "warning",
                1.3 + split.odd,
                f"{percent(split.odd)} of the {name} rows are as odd as the oddest "
                f"{percent(ODD_SHARE)} of train: {name} is not like train, so expect lower scores, "
                "or train on rows like these",
            )


def reassurances(
    lengths: Lengths | None,
    duplicates: Duplicates,
    faults: Sequence[Fault],
    tokenizer: TokenizerFit | None,
    fit: Mapping[str, SplitFit],
) -> Iterator[str]:
    """What was looked for and not found."""
    if lengths and not any(split.longer or split.cut_off for split in lengths.splits.values()):
        longest = max(split.percentiles["max"] for split in lengths.splits.values())
        yield (
            f"nothing is cut off: the longest row has {_count(longest)} tokens, max_length is "
            f"{_count(lengths.max_length)}"
        )
    if not duplicates.exact and not duplicates.near:
        yield "no row repeats another, exactly or nearly"
    if not faults:
        yield "no characters are broken"
    per_word = tokenizer and tokenizer.spaced and tokenizer.train.tokens_per_word
    if tokenizer and per_word and not list(of_tokenizer(tokenizer)):
        yield (
            f"the tokenizer cuts words into {per_word:.2f} tokens each, those of plain English "
            f"into {tokenizer.english.tokens_per_word or 0:.2f}"
        )
    others = [name for name in fit if name not in ("train", GENERAL)]
    if others and not any(fit[name].odd >= MANY_ODD for name in others):
        yield f"the rows of {' and '.join(others)} are like those of train"


def percent(share: float) -> str:
    """ "3.2 %"; of small ones two digits that count."""
    return f"{100 * share:.1f} %" if share >= 0.001 or not share else f"{100 * share:.2g} %"


def _rows(counts: Mapping[str, int], of: Mapping[str, int]) -> str:
    """ "8 of 487 test rows (1.6 %)", or several such."""
    parts = [
        f"{_count(n)} of {_count(of[split])} {split} rows ({percent(n / of[split])})"
        for split, n in counts.items()
    ]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _share(counts: Mapping[str, int], of: Mapping[str, int]) -> float:
    """Of the split in which it is largest."""
    return max(n / of[split] for split, n in counts.items())


def _count(number: int) -> str:
    return f"{number:,}"
