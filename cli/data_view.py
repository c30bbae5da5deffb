"""The data check in the terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from unfreeze.cli.words import count
from unfreeze.jobs.data_check.check import DataCheck
from unfreeze.jobs.data_check.duplicates import Overlap
from unfreeze.jobs.data_check.encodings import Fault
from unfreeze.jobs.data_check.findings import percent
from unfreeze.jobs.data_check.labels import LabelBalance
from unfreeze.jobs.data_check.lengths import Lengths
from unfreeze.jobs.data_check.notes import NOTES
from unfreeze.jobs.data_check.rows import Shown
from unfreeze.jobs.data_check.scripts import SplitScripts
from unfreeze.jobs.data_check.tokenizer_fit import TokenizerFit
from unfreeze.jobs.data_check.typicality import SplitFit

BAR = 40
"""Characters of the longest bar."""
MOST_TEXT = 200
"""Characters of a row that are shown."""
MOST_LABELS = 30


def show(check: DataCheck, console: Console) -> None:
    """All parts, the verdict first."""
    page = _Page(console)
    console.print(f"[bold]{check.name}[/]  {check.task} with {check.model}")
    _verdict(page, check)
    _splits(page, check)
    if check.lengths:
        _lengths(page, check.lengths)
    if check.labels:
        _labels(page, check.labels, check)
    page.title("duplicates", NOTES["exact"])
    _overlaps(page, check.duplicates.exact)
    page.title("near-duplicates", f"{NOTES['near']} A piece is {check.duplicates.pieces}.")
    _overlaps(page, check.duplicates.near)
    _faults(page, check.faults)
    _scripts(page, check.scripts)
    if check.tokenizer:
        _tokenizer(page, check.tokenizer)
    if check.fit:
        _fit(page, check.fit)


class _Page:
    """What the parts are made of. Texts of people are never read as markup."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def title(self, title: str, note: str = "") -> None:
        self.console.print()
        self.console.print(f"[bold]{title}[/]")
        if note:
            self.console.print(Text(note, "dim"))

    def line(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """The first column to the left, the others to the right."""
        table = Table(box=None, header_style="dim", pad_edge=False)
        for place, name in enumerate(columns):
            table.add_column(name, justify="right" if place else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(table)

    def row(self, row: Shown, said: str = "") -> None:
        labels = f" {', '.join(row.labels)}" if row.labels else ""
        self.line(f"  {row.split} {row.place or row.row}{labels}{said}", "cyan")
        self.console.print(Padding(Text(_on_one_line(row.text)), (0, 0, 0, 4), expand=False))


def _verdict(page: _Page, check: DataCheck) -> None:
    if not check.findings:
        page.line("Nothing stands out.")
    for finding in check.findings:
        style = "bold red" if finding.severity == "error" else "yellow"
        page.line(f"{finding.severity}: {finding.text}", style)
    if check.reassurances:
        page.line(f"fine: {'; '.join(check.reassurances)}")


def _splits(page: _Page, check: DataCheck) -> None:
    page.title("splits", NOTES["splits"])
    columns = ["split", "rows", "looked at"]
    if check.lengths:
        columns += ["tokens", "words", "examples", "longer than max_length", "cut off"]
    rows = []
    for name, split in check.splits.items():
        looked = "all" if split.looked == split.rows else count(split.looked)
        cells = [name, count(split.rows), looked]
        if check.lengths:
            sizes = check.lengths.splits[name]
            cells += [count(sizes.tokens), count(sizes.words), _known(sizes.examples)]
            cells += [_part(sizes.longer, split.looked), _known(sizes.cut_off, split.rows)]
        rows.append(cells)
    page.table(columns, rows)


def _lengths(page: _Page, lengths: Lengths) -> None:
    limits = f"max_length is {count(lengths.max_length)}; the model takes {count(lengths.limit)}."
    cuts = not lengths.lose_nothing
    limits += "" if cuts else f" {NOTES['lose_nothing']}"
    page.title("lengths", f"{NOTES['lengths']} {limits}")
    for name, split in lengths.splits.items():
        points = ", ".join(f"{point} {count(n)}" for point, n in split.percentiles.items())
        less = ", ".join(f"{count(n)} would cut off {s}" for s, n in split.cuts_no_more.items())
        page.line(f"{name}: {points}" + (f"; max_length {less}" if cuts else ""))
        most = max(1, *split.bars)
        for i, rows in enumerate(split.bars):
            bar = "#" * (-(-rows * BAR // most))
            longer = "  longer" if cuts and split.edges[i] >= lengths.max_length and rows else ""
            line = Text(f"  {'to ' + count(split.edges[i + 1]):>10} ")
            line.append(f"{bar} ", "red" if longer else "green").append(f"{count(rows)}{longer}")
            page.console.print(line)


def _labels(page: _Page, labels: LabelBalance, check: DataCheck) -> None:
    page.title("labels", NOTES["labels"])
    rows = [
        [
            name,
            *(
                _part(counts[place], check.splits[split].rows, always=True)
                for split, counts in labels.rows.items()
            ),
        ]
        for place, name in enumerate(labels.names[:MOST_LABELS])
    ]
    page.table(["label", *labels.rows], rows)
    if (more := len(labels.names) - MOST_LABELS) > 0:
        page.line(f"and {count(more)} more")


def _overlaps(page: _Page, overlaps: Sequence[Overlap]) -> None:
    if not overlaps:
        page.line("none")
    for found in overlaps:
        where = "earlier rows" if found.split == found.other else f"rows of {found.other}"
        other = f", {count(found.other_label)} with another label" if found.other_label else ""
        page.line(f"{found.split}: {count(found.rows)} like {where}{other}")
        for pair in found.pairs:
            alike = f", {percent(pair.similarity)} alike" if pair.similarity < 1 else ""
            page.row(pair.first)
            page.row(pair.second, alike)


def _faults(page: _Page, faults: Sequence[Fault]) -> None:
    page.title("broken characters and markup", NOTES["faults"])
    if not faults:
        page.line("none")
    for fault in faults:
        rows = ", ".join(f"{count(n)} in {split}" for split, n in fault.rows.items())
        page.line(f"{fault.name}: {rows}; {fault.advice}")
        for broken in fault.shown:
            page.row(broken.row, f": {broken.fault}")
            if broken.fixed is not None:
                page.line(f"    mended: {_on_one_line(broken.fixed)}", "dim")


def _scripts(page: _Page, scripts: dict[str, SplitScripts]) -> None:
    page.title("scripts", NOTES["scripts"])
    for name, split in scripts.items():
        shares = ", ".join(f"{script} {percent(share)}" for script, share in split.shares.items())
        others = sum(split.others.values())
        page.line(f"{name}: {shares}; {count(others)} rows in another script than train")
        for row in split.shown:
            page.row(row)


def _tokenizer(page: _Page, tokenizer: TokenizerFit) -> None:
    page.title("tokenizer", NOTES["tokenizer"])
    texts = {
        f"train, {count(tokenizer.train.words)} words": tokenizer.train,
        "plain English": tokenizer.english,
    }
    columns = ["", "tokens per word", "words cut", "in 4 or more", "unknown", "bytes per token"]
    rows = []
    for name, cut in texts.items():
        per_word = "?" if cut.tokens_per_word is None else f"{cut.tokens_per_word:.2f}"
        shares = (cut.words_cut, cut.words_in_many, cut.unknown_tokens)
        cells = ["?" if share is None else percent(share) for share in shares]
        rows.append([name, per_word, *cells, f"{cut.bytes_per_token:.1f}"])
    page.table(columns, rows)
    if not tokenizer.spaced:
        page.line("The main script writes no spaces, so tokens per word say nothing here.")
    if tokenizer.train.hard_words:
        page.line(NOTES["hard_words"], "dim")
        page.line(
            "  "
            + ", ".join(
                f"{word.word} ({count(word.times)} times, "
                f"{'not known' if word.is_unknown else f'{word.pieces} tokens'})"
                for word in tokenizer.train.hard_words
            )
        )


def _fit(page: _Page, fit: dict[str, SplitFit]) -> None:
    page.title("fit", NOTES["fit"])
    rows = [[name, f"{split.median_bits:.1f}", percent(split.odd)] for name, split in fit.items()]
    page.table(["split", "median bits per token", "odd rows"], rows)
    for name, split in fit.items():
        for title, some in (("least", split.least), ("most", split.most)):
            if some:
                page.line(f"{title} fitting of {name}")
            for scored in some:
                page.row(scored.row, f", {scored.bits:.1f} bits per token")


def _part(number: int, of: int, *, always: bool = False) -> str:
    if not of or not (number or always):
        return count(number)
    return f"{count(number)} ({percent(number / of)})"


def _known(number: int | None, of: int | None = None) -> str:
    if number is None:
        return "?"
    return count(number) if of is None else _part(number, of)


def _on_one_line(text: str) -> str:
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= MOST_TEXT else plain[:MOST_TEXT] + " ..."
