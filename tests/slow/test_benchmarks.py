"""Benchmarks that watch the inside of the product still find what they watch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_stages_of_preparing_data_are_measured(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "data_scale.py"), "--folder", str(tmp_path)]
    command += ["--gigabytes", "0.002", "--row-bytes", "500"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["rows"] == 8000  # two thousand for each of four files, written by thousands
    assert {"start", "tokenize"} <= measured["stages"].keys()
    assert measured["peak_mb"] > 100
