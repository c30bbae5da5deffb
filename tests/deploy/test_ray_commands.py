"""The commands and the cluster file that deploy/ gives to Ray are such as the pinned Ray takes."""

import json
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
from deploy_files import DEPLOY, document

# In a process of its own: what imports Ray reads its settings for good.
ASK_RAY = """
import json, sys
import click
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts import scripts, symmetric_run

def verdict(ask):
    try:
        ask()
    except (click.ClickException, Exception) as error:
        return f"{type(error).__name__}: {error}"
    return ""

def parse(words):
    program, verb, *arguments = words
    assert program == "ray"
    if verb == "symmetric-run":
        start = arguments[: arguments.index("--")]
        words = symmetric_run.curate_and_validate_ray_start_args(start)
        verb, arguments = "start", list(words)
    scripts.cli.commands[verb].make_context(verb, arguments)

asked = json.load(sys.stdin)
json.dump({
    "commands": [verdict(lambda: parse(words)) for words in asked["commands"]],
    "clusters": [
        verdict(lambda: validate_config(prepare_config(cluster))) for cluster in asked["clusters"]
    ],
}, sys.stdout)
"""

AWS = document("aws.yaml")
SERVICES = document("compose.yaml")["services"]


def slurm_command() -> list[str]:
    """What slurm.sh runs, its variables replaced by numbers."""
    text = (DEPLOY / "slurm.sh").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ *srun .*?(ray symmetric-run .*)$", text, re.MULTILINE)
    return shlex.split(re.sub(r'"?\$\w+"?', "127.0.0.1:1" if "$x" in line else "1", line))


COMMANDS = {
    "compose-head": SERVICES["head"]["command"],
    "compose-worker": SERVICES["worker"]["command"],
    "slurm": slurm_command(),
}
KUBERNETES = document("kubernetes/raycluster.yaml")["spec"]
for group in (KUBERNETES["headGroupSpec"], *KUBERNETES["workerGroupSpecs"]):
    # KubeRay makes options of them.
    options = [f"--{key}={value}" for key, value in group["rayStartParams"].items()]
    COMMANDS[f"kubernetes-{group.get('groupName', 'head')}"] = ["ray", "start", *options]
for role in ("head", "worker"):
    for number, line in enumerate(AWS[f"{role}_start_ray_commands"]):
        COMMANDS[f"aws-{role}-{number}"] = shlex.split(line)

WITH_FAULTS = {
    "misspelt": ["ray", "start", "--head", "--dashboard-hots=127.0.0.1"],
    "no-number": ["ray", "start", "--address=head:6379", "--num-cpus=two"],
    "not-for-symmetric-run": [*("ray", "symmetric-run", "--address", "h:1"), "--head", "--", "x"],
}
CLUSTERS = {
    "aws": AWS,
    "no-such-head": AWS | {"head_node_type": "haed"},
    "misspelt": AWS | {"idle_timeout": 5},
}


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Any]:
    asked = {
        "commands": [*COMMANDS.values(), *WITH_FAULTS.values()],
        "clusters": [*CLUSTERS.values()],
    }
    found = subprocess.run(
        [sys.executable, "-c", ASK_RAY], input=json.dumps(asked), capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    commands = dict(zip([*COMMANDS, *WITH_FAULTS], answer["commands"], strict=True))
    return {"commands": commands, "clusters": dict(zip(CLUSTERS, answer["clusters"], strict=True))}


@pytest.mark.parametrize("name", COMMANDS)
def test_ray_takes_the_command(verdicts: dict[str, Any], name: str) -> None:
    assert verdicts["commands"][name] == ""


@pytest.mark.parametrize("name", WITH_FAULTS)
def test_ray_refuses_a_command_with_a_fault(verdicts: dict[str, Any], name: str) -> None:
    assert verdicts["commands"][name]


def test_ray_takes_the_cluster_file(verdicts: dict[str, Any]) -> None:
    assert verdicts["clusters"]["aws"] == ""


@pytest.mark.parametrize("name", ["no-such-head", "misspelt"])
def test_ray_refuses_a_cluster_file_with_a_fault(verdicts: dict[str, Any], name: str) -> None:
    assert verdicts["clusters"][name]


@pytest.mark.parametrize("name", [name for name, words in COMMANDS.items() if "--head" in words])
def test_a_dashboard_is_on_the_loopback_or_asks_for_the_token(name: str) -> None:
    (host,) = [
        word.partition("=")[2] for word in COMMANDS[name] if word.startswith("--dashboard-host=")
    ]
    if host != "127.0.0.1":
        service = SERVICES[name.removeprefix("compose-")]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
