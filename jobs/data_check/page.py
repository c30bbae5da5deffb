"""The data check as one HTML file, in the look of the reports; without scripts."""

from pathlib import Path

import yaml

from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data_check.check import MOST_SENTENCES, DataCheck
from unfreeze.jobs.data_check.findings import percent
from unfreeze.jobs.data_check.lengths import Lengths
from unfreeze.jobs.data_check.notes import NOTES
from unfreeze.jobs.page import count, render

WIDTH, HEIGHT = 1000, 150
"""Of a histogram, in the units of its viewBox."""


def build_page(check: DataCheck, job: JobConfig) -> str:
    """The same check gives the same page, byte for byte."""
    settings = yaml.safe_dump(job.to_data(), sort_keys=False, allow_unicode=True)
    return render(
        Path(__file__).with_name("data.html.j2"),
        result={"name": f"{check.name}: data"},
        check=check,
        verdict=check.findings[:MOST_SENTENCES],
        more=check.findings[MOST_SENTENCES:],
        notes=NOTES,
        histograms=_histograms(check.lengths) if check.lengths else {},
        share=percent,
        settings=settings,
    )


def _histograms(lengths: Lengths) -> dict[str, dict[str, object]]:
    """Of each split the bars, as places in the drawing."""
    return {
        name: {
            "bars": [
                {
                    "x": round(i * WIDTH / len(split.bars), 1),
                    "width": round(0.9 * WIDTH / len(split.bars), 1),
                    "height": round(HEIGHT * rows / max(1, *split.bars), 1),
                    "rows": count(rows),
                    "to": count(split.edges[i + 1]),
                    "from": count(split.edges[i] + 1),
                    "is_longer": split.edges[i] >= lengths.max_length and not lengths.lose_nothing,
                }
                for i, rows in enumerate(split.bars)
            ],
        }
        for name, split in lengths.splits.items()
    }
