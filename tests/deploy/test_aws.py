"""aws.yaml: what Ray's schema does not say."""

from typing import Any

import pytest
from deploy_files import PROJECT, document

CONFIG = document("aws.yaml")
TYPES: dict[str, Any] = CONFIG["available_node_types"]
COMMANDS = {key: value for key, value in CONFIG.items() if key.endswith("_commands")}


def test_the_head_has_no_gpu_and_takes_no_work() -> None:
    head = TYPES[CONFIG["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert not head["node_config"]["InstanceType"].startswith(("g", "p"))


def test_gpu_nodes_come_and_go_on_spot() -> None:
    (name,) = set(TYPES) - {CONFIG["head_node_type"]}
    gpu = TYPES[name]
    assert gpu["node_config"]["InstanceType"].startswith(("g", "p"))
    assert 0 < gpu["min_workers"] < gpu["max_workers"] == CONFIG["max_workers"]
    assert gpu["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}


@pytest.mark.parametrize("name", TYPES)
def test_a_node_has_a_role_instead_of_keys(name: str) -> None:
    node = TYPES[name]["node_config"]
    assert set(node["IamInstanceProfile"]) == {"Name"}
    assert node["MetadataOptions"] == {"HttpTokens": "required"}
    assert all(device["Ebs"]["Encrypted"] for device in node["BlockDeviceMappings"])
    assert "UserData" not in node


def test_the_token_travels_as_a_file_that_all_nodes_read() -> None:
    (mounted,) = CONFIG["file_mounts"]
    options = CONFIG["docker"]["run_options"]
    inside = mounted.replace("~", "/home/unfreeze")
    assert "--env RAY_AUTH_MODE=token" in options
    assert f"--env RAY_AUTH_TOKEN_PATH={inside}" in options
    assert not [line for lines in COMMANDS.values() for line in lines if "token" in line.lower()]


def test_all_nodes_run_the_image_of_this_version() -> None:
    docker = CONFIG["docker"]
    assert docker["image"].endswith(f"/unfreeze:{PROJECT['version']}")
    assert not {"head_image", "worker_image"} & set(docker)
    registry = docker["image"].partition("/")[0]
    (login,) = CONFIG["initialization_commands"]
    assert login.endswith(registry)
    assert CONFIG["provider"]["region"] in registry


def test_nothing_is_open_to_the_world() -> None:
    assert "security_group" not in CONFIG["provider"], "Ray's own opens ssh alone"
    (start,) = [line for line in CONFIG["head_start_ray_commands"] if "--head" in line]
    assert "--dashboard-host=127.0.0.1" in start.split()
