"""What the report pages share: numbers for people, and a frame that needs no network.

A page is a template that extends `page.html.j2` and puts its numbers and its charts into it.
"""

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from unfreeze.jobs.metrics import TRAITS

SPACE = "\u00a0"  # between a number and its unit, so that they stay on one line


def render(template: Path, **data: Any) -> str:
    """The page of a template. Everything in `data` is escaped, in markup and in scripts."""
    pages = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "apart": apart,
        "count": count,
        "duration": duration,
        "named": title,
        "percent": percent,
        "rate": rate,
        "score": score,
        "size": size,
    }
    return pages.get_template(template.name).render(plotly_js=get_plotlyjs(), **data)


def count(value: float) -> str:
    return f"{value:,.0f}"


def percent(share: float) -> str:
    return f"{100 * share:.1f}{SPACE}%"


def is_share(metric: str) -> bool:
    return metric in TRAITS and TRAITS[metric].is_share


def title(metric: str) -> str:
    known = TRAITS[metric].title if metric in TRAITS else ""
    return known or metric.replace("_", " ")


def score(value: float | None, metric: str) -> str:
    if value is None or not math.isfinite(value):
        return "not known"
    return percent(value) if is_share(metric) else f"{value:.4g}"


def apart(value: float | None, metric: str) -> str:
    """A gap, with its sign; that of a share is in percentage points."""
    if value is None:
        return "not known"
    return f"{100 * value:+.1f}{SPACE}points" if is_share(metric) else f"{value:+.3g}"


def rate(value: Any) -> str:
    return f"{value:.3g}".replace("e-0", "e-") if isinstance(value, int | float) else str(value)


def duration(seconds: float) -> str:
    """12.3 s, 2 min 14 s, 3 h 05 min."""
    if seconds < 59.95:
        return f"{seconds:.1f}{SPACE}s"
    if (whole := round(seconds)) < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60:02}{SPACE}s"
    return f"{whole // 3600:,}{SPACE}h {whole % 3600 // 60:02}{SPACE}min"


def size(value: float | None) -> str:
    if value is None:
        return "not known"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g}{SPACE}{unit}"
        value /= 1000
    return f"{value:,.3g}{SPACE}TB"


def finite(value: Any) -> float | None:
    """The number; None if there is none, or one that JSON has no word for."""
    return float(value) if value is not None and math.isfinite(value) else None
