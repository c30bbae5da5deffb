"""A driver finds the Ray that started it, whatever else runs on the machine."""

import subprocess
import sys

from unfreeze.cluster.own_ray import address_of_own_ray

ASK = "from unfreeze.cluster.own_ray import address_of_own_ray as ask; print(ask())"
BETWEEN = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"


def test_the_address_is_that_of_the_raylet_above() -> None:
    command = [sys.executable, "-c", BETWEEN, ASK, "--log-dir=x", "--gcs-address=192.0.2.7:6379"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout == "192.0.2.7:6379\n"


def test_without_a_raylet_above_ray_itself_looks_for_one() -> None:
    assert address_of_own_ray() == "auto"
