# .venv/bin/python benchmarks/data_scale.py [--gigabytes 0.25 1] [--row-bytes 1000] [--folder /tmp]
"""How much memory and time it takes to make tokens of data sets of several sizes.

Writes sets of labelled texts, and prepares each in a process of its own, as a job does. Meanwhile
it adds up RssAnon, memory that is no file's, of that process and of those that it starts, 20 times
a second: pages of mapped files are left out, for the kernel takes them back when it needs them.

From two sizes or more it fits a line through the peaks of each stage, by the number of rows, and
says what the highest would be at --extrapolate-to gigabytes: a forecast, not a measurement.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

FILES = 4
WORDS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.25, 1.0])
    parser.add_argument("--row-bytes", type=int, default=1000)
    parser.add_argument("--model", help="folder with a tokenizer; else one of whole words is made")
    parser.add_argument("--num-proc", type=int)
    parser.add_argument("--checks-only", action="store_true", help="stop before tokenizing")
    parser.add_argument("--extrapolate-to", type=float, default=50.0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.prepare:
        prepare_in(arguments.prepare, checks_only=arguments.checks_only)
        return
    found = []
    for size in arguments.gigabytes:
        with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="data-scale-") as scratch:
            found.append(measure(Path(scratch), size, arguments))
            print(json.dumps(found[-1]), flush=True)
    if len(found) > 1:
        print(json.dumps(forecast(found, arguments.extrapolate_to)))


def measure(folder: Path, gigabytes: float, arguments: argparse.Namespace) -> dict[str, Any]:
    """Peaks and seconds of preparing a set of this size."""
    rows = write_rows(folder / "rows", round(gigabytes * 1e9), arguments.row_bytes)
    model = arguments.model or str(write_tokenizer(folder / "model"))
    data = {"train": str(folder / "rows"), "test": 0.01, "max_length": 256}
    data |= {"num_proc": arguments.num_proc} if arguments.num_proc else {}
    job = {"name": "scale", "model": model, "task": "text-classification", "data": data}
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, __file__, "--prepare", str(folder)]
    command += ["--checks-only"] if arguments.checks_only else []
    process = subprocess.Popen(command)
    stages: dict[str, dict[str, float]] = {}
    while process.poll() is None:
        name = (folder / "stage").read_text() if (folder / "stage").exists() else "start"
        stage = stages.setdefault(name, {"seconds": time.monotonic(), "peak_mb": 0.0})
        stage["peak_mb"] = max(stage["peak_mb"], anonymous_memory(process.pid) / 1e6)
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(process.returncode)
    begins = [stage["seconds"] for stage in stages.values()]
    ends = [*begins[1:], time.monotonic()]
    for stage, end in zip(stages.values(), ends, strict=True):
        stage["seconds"] = round(end - stage["seconds"], 1)
        stage["peak_mb"] = round(stage["peak_mb"])
    peak = max(stage["peak_mb"] for stage in stages.values())
    return {"gigabytes": gigabytes, "rows": rows, "peak_mb": peak, "stages": stages}


def forecast(found: list[dict[str, Any]], gigabytes: float) -> dict[str, Any]:
    """A line through the peaks of each stage, and the highest of where they would be."""
    rows = [each["rows"] for each in found]
    there = gigabytes * float(np.mean([each["rows"] / each["gigabytes"] for each in found]))
    lines = {}
    for stage in set.intersection(*(set(each["stages"]) for each in found)):
        slope, base = np.polyfit(rows, [each["stages"][stage]["peak_mb"] for each in found], 1)
        lines[stage] = (base + slope * there, slope * 1e6)
    highest = max(lines, key=lambda stage: lines[stage][0])
    return {
        "forecast_gigabytes": gigabytes,
        "forecast_rows": round(there),
        "forecast_peak_mb": round(lines[highest][0]),
        "highest_stage": highest,
        "its_bytes_per_row": round(lines[highest][1], 1),
    }


def anonymous_memory(pid: int) -> int:
    """Bytes of a process and of all that it has started."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            status = Path(f"/proc/{process.pid}/status").read_text()
            total += sum(
                int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")
            )
    except (OSError, psutil.Error):  # one of them has just ended
        pass
    return total * 1024


def prepare_in(folder: Path, *, checks_only: bool) -> None:
    """What the measured process does."""
    from unfreeze.jobs.data import dataset
    from unfreeze.jobs.job_file import parse_job

    def staged(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **settings: Any) -> Any:
            (folder / "new-stage").write_text(name)
            (folder / "new-stage").replace(folder / "stage")
            return step(*args, **settings)

        return run

    for name in ("read_sources", "_fingerprint", "scan", "split_parts", "check_rows", "write_rows"):
        setattr(dataset, name, staged(name.strip("_"), getattr(dataset, name)))
    for name in ("tokenize", "join_shards"):
        setattr(dataset, name, staged(name, getattr(dataset, name)))
    if checks_only:
        dataset.tokenize = staged("end", lambda *_, **__: sys.exit(0))
    job = parse_job(json.loads((folder / "job.json").read_text()))
    data = dataset.prepare(job, job.model.path, cache=folder / "cache")
    split = data.splits["train"]
    split.rows(np.random.default_rng(0).permutation(split.units)[:1000])


def write_rows(folder: Path, size: int, row_bytes: int) -> int:
    """Distinct texts in so many bytes, in several files; how many."""
    folder.mkdir()
    draw = random.Random(0)
    texts = [
        " ".join(f"w{draw.randrange(WORDS)}" for _ in range(max(1, row_bytes // 7)))
        for _ in range(2000)
    ]
    rows = 0
    for number in range(FILES):
        with (folder / f"part-{number}.jsonl").open("w") as file:
            while file.tell() < size / FILES:
                lines = []
                for _ in range(1000):
                    text = f"{texts[rows % 2000]} {rows}"
                    lines.append(json.dumps({"text": text, "label": "ab"[rows % 2]}) + "\n")
                    rows += 1
                file.write("".join(lines))
    return rows


def write_tokenizer(folder: Path) -> Path:
    """Of whole words: it is fast, and what it needs of memory is what others need."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]"])}
    vocabulary |= {f"w{i}": i + 2 for i in range(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
