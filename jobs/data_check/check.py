"""The check of a job's data: reads them as training does, and looks at them from all sides."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.row_names import Locate
from unfreeze.jobs.data_check import findings as say
from unfreeze.jobs.data_check.duplicates import Duplicates, find_duplicates
from unfreeze.jobs.data_check.encodings import Fault, find_faults
from unfreeze.jobs.data_check.findings import Finding
from unfreeze.jobs.data_check.labels import LabelBalance, balance
from unfreeze.jobs.data_check.lengths import Lengths, Tokens, measure, rows_cut, tokens_of
from unfreeze.jobs.data_check.places import with_places
from unfreeze.jobs.data_check.rows import SplitRows, learned_of_all, read_splits
from unfreeze.jobs.data_check.scripts import SplitScripts, look_at_scripts
from unfreeze.jobs.data_check.tokenizer_fit import TokenizerFit, fit_tokenizer
from unfreeze.jobs.data_check.typicality import SplitFit, fit
from unfreeze.jobs.errors import UserMistake
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Learned

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from unfreeze.jobs.data.dataset import PreparedData

MOST_SENTENCES = 6
"""Of the verdict; the other findings are told below it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SplitSize:
    """Rows of one split."""

    rows: int
    """Those that fit."""
    looked: int
    """Those whose texts are looked at: all, or of a large split a sample."""
    source: str
    """The split whose source has them, and by which they are numbered."""


@dataclass(frozen=True, slots=True)
class DataCheck:
    """All that is found, as data."""

    name: str
    task: str
    model: str
    findings: list[Finding]
    """The worst first."""
    reassurances: list[str]
    """What was looked for and not found."""
    splits: dict[str, SplitSize]
    lengths: Lengths | None
    """None if the task cannot encode the rows; an error says why."""
    labels: LabelBalance | None
    duplicates: Duplicates
    scripts: dict[str, SplitScripts]
    faults: list[Fault]
    tokenizer: TokenizerFit | None
    fit: dict[str, SplitFit]
    """Of splits with rows of some tokens."""

    @property
    def has_errors(self) -> bool:
        """The job would not begin."""
        return any(finding.severity == "error" for finding in self.findings)

    def to_data(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Material:
    """What is looked at."""

    job: JobConfig
    limit: int
    """The most tokens that the model takes."""
    tokenizer: "PreTrainedTokenizerBase"
    splits: Mapping[str, SplitRows]
    concluded: Learned
    """What the task concludes from the training rows."""
    locate: Mapping[str, Locate]
    """In which files the rows of each source are."""
    prepared: "PreparedData | None"
    """As training would have it; None if it could not begin."""
    errors: list[str]
    """Why not."""


def check_data(job: JobConfig) -> DataCheck:
    """Raises UserMistake if the model or the sources cannot be read; what is wrong with the rows
    is a finding."""
    from unfreeze.jobs.data.dataset import origins, prepare, read_sources
    from unfreeze.jobs.data.tokenizer import load_tokenizer
    from unfreeze.jobs.inputs import cache_folder, with_max_length
    from unfreeze.jobs.model import locate_model, longest_input

    located = locate_model(job.model, endpoint=job.storage.endpoint, cache=cache_folder())
    limit = longest_input(located, job.model)
    job = with_max_length(job, limit)
    cache = cache_folder() / "data"
    sources = read_sources(job, cache)
    errors: list[str] = []
    prepared = _attempt(lambda: prepare(job, located, cache=cache), errors)
    tokenizer = load_tokenizer(located, job.model)
    splits, concluded = read_splits(job, sources)
    locate = origins(job, sources, cache)
    return _look_at(_Material(job, limit, tokenizer, splits, concluded, locate, prepared, errors))


def _look_at(it: _Material) -> DataCheck:
    splits = it.splits
    tokens, lengths = _lengths(it)
    labels, duplicates = balance(splits), find_duplicates(splits)
    scripts, faults = look_at_scripts(splits), find_faults(splits)
    texts = [looked.written for looked in splits["train"].looked]
    tokenizer = fit_tokenizer(texts, it.tokenizer)
    special = set(it.tokenizer.all_special_ids) - {it.tokenizer.unk_token_id}
    typical = fit(splits, tokens, special, len(it.tokenizer)) if tokens else {}
    rows = {name: len(split) for name, split in splits.items()}
    looked = {name: len(split.looked) for name, split in splits.items()}
    warnings = it.prepared.warnings if it.prepared else []
    found = chain(
        say.of_training(it.errors, warnings),
        say.of_lengths(lengths, looked, rows) if lengths else (),
        say.of_labels(labels),
        say.of_duplicates(duplicates, looked, rows),
        say.of_faults(faults, looked),
        say.of_scripts(scripts, looked),
        say.of_tokenizer(tokenizer),
        say.of_fit(typical, looked),
    )
    sizes = {
        name: SplitSize(rows[name], looked[name], split.source) for name, split in splits.items()
    }
    check = DataCheck(
        name=it.job.name,
        task=it.job.task.in_words,
        model=it.job.model.path,
        findings=say.ordered(found),
        reassurances=list(say.reassurances(lengths, duplicates, faults, tokenizer, typical)),
        splits=sizes,
        lengths=lengths,
        labels=labels,
        duplicates=duplicates,
        scripts=scripts,
        faults=faults,
        tokenizer=tokenizer,
        fit=typical,
    )
    return with_places(check, {name: split.source for name, split in splits.items()}, it.locate)


def _lengths(it: _Material) -> tuple[dict[str, Tokens], Lengths | None]:
    """Nothing if the task cannot encode the rows: the errors say why."""
    max_length = it.job.data.max_length or it.limit

    def encode() -> tuple[dict[str, Tokens], dict[str, int]]:
        prepared = it.prepared
        learned = prepared.learned if prepared else learned_of_all(it.job, it.splits, it.concluded)
        task = open_task(it.job.task, learned)
        tokens = {name: tokens_of(rows, task, it.tokenizer) for name, rows in it.splits.items()}
        if prepared:
            return tokens, prepared.cut_off
        return tokens, {
            name: rows_cut(rows, task, it.tokenizer, max_length)
            for name, rows in it.splits.items()
            if len(rows.looked) == len(rows)
        }

    found = _attempt(encode, it.errors)
    if found is None:
        return {}, None
    tokens, cut_off = found
    examples = (
        {name: len(split) for name, split in it.prepared.splits.items()} if it.prepared else {}
    )
    used = {name: (cut_off.get(name), examples.get(name)) for name in it.splits}
    return tokens, measure(it.splits, tokens, max_length, it.limit, used)


def _attempt(make: Callable[[], T], errors: list[str]) -> T | None:
    """What it makes; None if it is the user's mistake, which is added to the errors."""
    try:
        return make()
    except UserMistake as error:
        errors += [line for line in error.mistakes if line not in errors]
        return None
