# .venv/bin/python benchmarks/compare.py [--cache FOLDER]
"""Does `unfreeze compare` rank pretrained models as fine-tuning does? Rank correlations.

Needs `make setup` and `python examples/fetch_demo.py`; takes 13 minutes on two cores.
What was fine-tuned is kept in the cache folder by content, and is not fine-tuned again.

Seven candidates are made from all-MiniLM-L6-v2: as it is; its first 4 and its first 2 layers;
fine-tuned on the sentiment of NYT editorials, and of tweets (then without the head); damaged by
noise on every matrix, of half its deviation and of all of it. Two domains, movie reviews and
Amazon reviews: 640 distinct training texts and 1,000 held-out ones of each, at most 48 tokens.

- compare: what `unfreeze compare` says, from the training rows alone.
- fine-tuned: accuracy on the held-out rows after a head phase of one epoch and a full phase of
  three, by the loop of `unfreeze train`, scored once at the end; the mean over two seeds.

The correlation between the rankings of two seeds of fine-tuning says how sure the second ranking
is itself.
"""

import argparse
import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / ".cache" / "demo"
DOMAINS = {"movies": "train.jsonl", "amazon": "amazon.jsonl"}
TRAIN, HELD_OUT = 640, 1000
SEEDS = 2
PROCESSES = 2


def main() -> int:
    """Makes the candidates, fine-tunes and compares them, and prints both rankings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "compare")
    cache = parser.parse_args().cache.resolve()
    if not (DEMO / "reviews" / "amazon.jsonl").exists():
        print("compare: first run python examples/fetch_demo.py", file=sys.stderr)
        return 1
    os.environ |= {"UNFREEZE_CACHE": str(cache / "unfreeze"), "TOKENIZERS_PARALLELISM": "false"}
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    from compare_candidates import make_candidates, measured, write_rows

    for domain, file in DOMAINS.items():
        write_rows(DEMO / "reviews" / file, cache / domain, TRAIN, HELD_OUT)
    models = make_candidates(DEMO / "all-MiniLM-L6-v2", DEMO / "reviews", cache)
    tasks = [
        (model, cache / domain, seed, cache)
        for seed in range(SEEDS)
        for domain in DOMAINS
        for model in models
    ]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        answers = pool.map(measured, tasks, chunksize=1)
    tuned: dict[tuple[str, str], list[float]] = {}
    for (model, rows, _, _), answer in zip(tasks, answers, strict=True):
        tuned.setdefault((rows.name, model.name), []).append(answer["scores"]["accuracy"])
    found = {domain: compared(domain, models, cache) for domain in DOMAINS}
    report(found, tuned, sum(answer["seconds"] for answer in answers))
    return 0


def compared(domain: str, models: list[Path], cache: Path) -> dict[str, dict[str, Any]]:
    """What `unfreeze compare` says of each candidate, by its name."""
    from compare_candidates import job_settings

    from unfreeze.jobs.compare import compare_models
    from unfreeze.jobs.job_file import parse_job

    job = parse_job(job_settings(models[0], cache / domain))
    found = compare_models(job, list(map(str, models))).to_data()
    assert not found["failures"], found["failures"]
    print(f"{domain}: {found['method']}\n  {found['advice']}", flush=True)
    return {Path(ranked["model"]).name: ranked for ranked in found["ranked"]}


def report(
    found: dict[str, dict[str, dict[str, Any]]],
    tuned: dict[tuple[str, str], list[float]],
    seconds: float,
) -> None:
    """Tables, and the correlations as JSON."""
    ratios: dict[str, float] = {}
    for domain, candidates in found.items():
        print(f"\n{domain:14} {'compare':>8} {'95 %':>16} {'fine-tuned':>11}  seeds")
        for name, ranked in candidates.items():
            accuracies = tuned[domain, name]
            low, high = ranked["interval"]
            print(
                f"{name:14} {ranked['score']:8.4f} {low:7.4f} to {high:.4f} "
                f"{np.mean(accuracies):11.4f}  {', '.join(f'{a:.4f}' for a in accuracies)}"
            )
        before = [ranked["score"] for ranked in candidates.values()]
        after = [float(np.mean(tuned[domain, name])) for name in candidates]
        one, two = zip(*(tuned[domain, name][:2] for name in candidates), strict=True)
        ratios[f"spearman_{domain}"] = float(spearmanr(before, after).statistic)
        ratios[f"kendall_{domain}"] = float(kendalltau(before, after).statistic)
        ratios[f"spearman_{domain}_between_seeds"] = float(spearmanr(one, two).statistic)
        first = max(candidates, key=lambda name: np.mean(tuned[domain, name]))
        chosen = next(iter(candidates))
        lost = np.mean(tuned[domain, first]) - np.mean(tuned[domain, chosen])
        print(
            f"Spearman {ratios[f'spearman_{domain}']:.3f}, Kendall "
            f"{ratios[f'kendall_{domain}']:.3f}; two seeds of fine-tuning agree by "
            f"{ratios[f'spearman_{domain}_between_seeds']:.3f}; taking {chosen} instead of {first} "
            f"costs {lost:.4f}"
        )
    for kind in ("spearman", "kendall"):
        ratios[f"{kind}_mean"] = float(np.mean([ratios[f"{kind}_{domain}"] for domain in found]))
    passes = sum(
        candidate["milliseconds"] * TRAIN / 1000
        for candidates in found.values()
        for candidate in candidates.values()
    )
    print(
        f"\nfine-tuning took {seconds:,.0f} s of wall time, one core each; the forward passes "
        f"{passes:,.0f} s"
    )
    print(json.dumps({"ratios": {name: round(value, 3) for name, value in ratios.items()}}))


if __name__ == "__main__":
    sys.exit(main())
