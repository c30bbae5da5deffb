"""What is said of versions and GPUs: severity, text and fix."""

from dataclasses import replace
from typing import Any

import pytest
from planted_cluster import HEAD, HEALTHY, MACHINE, OTHER, VERSIONS, on_other, problems

from unfreeze.cluster.doctor.facts import Examination, Finding
from unfreeze.cluster.doctor.findings import exit_code, judge


def with_version(package: str, version: str | None) -> Examination:
    return on_other(versions={**VERSIONS, package: version})


@pytest.mark.parametrize(
    ("package", "version", "severity"),
    [
        ("torch", "2.12.1+cu130", "error"),
        ("torch", "2.13.1+cu130", "warning"),
        ("torch", "2.13.0+cpu", "warning"),
        ("ray", "2.60.1", "error"),
        ("deepspeed", "0.18.8", "error"),
        ("deepspeed", "0.19.9", "warning"),
        ("transformers", "5.22.0", "error"),
        ("unfreeze", "0.1.1", "error"),
        ("unfreeze", "0.1.0+5f3a", "warning"),
    ],
)
def test_versions_that_differ_are_an_error_where_they_must_agree(
    package: str, version: str, severity: Any
) -> None:
    ours = VERSIONS[package]
    assert problems(with_version(package, version)) == [
        Finding(
            severity,
            "10.0.0.2",
            f"{package} differs: {ours} on this machine, 10.0.0.1; {version} on 10.0.0.2",
            f"install {package} {ours} there too",
        )
    ]


def test_python_may_differ_in_its_last_part_only() -> None:
    (minor,) = problems(with_version("python", "3.12.1"))
    assert minor.severity == "error"
    assert minor.text == "Python differs: 3.11.13 on this machine, 10.0.0.1; 3.12.1 on 10.0.0.2"
    assert minor.fix == "install Python 3.11.13 there too"
    (patch,) = problems(with_version("python", "3.11.2"))
    assert patch.severity == "warning"


def test_a_node_is_told_to_follow_this_machine_though_most_nodes_differ_from_it() -> None:
    machine = replace(MACHINE, versions={**VERSIONS, "ray": "2.59.0"})
    nodes = (replace(HEAD, machine=machine), replace(OTHER, machine=machine))
    assert problems(replace(HEALTHY, nodes=nodes)) == [
        Finding(
            "error",
            "10.0.0.1, 10.0.0.2",
            "ray differs: 2.60.0 on this machine; 2.59.0 on 10.0.0.1, 10.0.0.2",
            "install ray 2.60.0 there too",
        )
    ]


def test_a_missing_package_is_an_error() -> None:
    assert problems(with_version("deepspeed", None)) == [
        Finding(
            "error",
            "10.0.0.2",
            "deepspeed is not installed",
            "install deepspeed 0.19.8 there",
        )
    ]


def test_unfreeze_may_be_missing_where_submit_brings_it() -> None:
    assert problems(with_version("unfreeze", None)) == [
        Finding(
            "warning",
            "10.0.0.2",
            "unfreeze is not installed",
            "install unfreeze 0.1.0 there; `unfreeze submit` needs none, as it sends its own",
        )
    ]


def test_other_code_of_the_same_version_is_a_warning() -> None:
    assert problems(on_other(code="ffffffffffff")) == [
        Finding(
            "warning",
            "10.0.0.2",
            "unfreeze 0.1.0 is other code there: 1a2b3c4d5e6f on this machine, 10.0.0.1; "
            "ffffffffffff on 10.0.0.2",
            "install the same wheel or commit there; `unfreeze submit` sends its own",
        )
    ]


def test_other_code_of_another_version_is_told_once() -> None:
    found = on_other(code="ffffffffffff", versions={**VERSIONS, "unfreeze": "0.2.0"})
    assert [finding.text for finding in problems(found)] == [
        "unfreeze differs: 0.1.0 on this machine, 10.0.0.1; 0.2.0 on 10.0.0.2"
    ]


def test_what_is_missing_everywhere_is_in_the_constraints() -> None:
    machine = replace(MACHINE, versions={**VERSIONS, "transformers": None})
    nodes = (replace(HEAD, machine=machine), replace(OTHER, machine=machine))
    (finding,) = problems(replace(HEALTHY, nodes=nodes, this_machine=machine))
    assert finding.subject == "this machine, 10.0.0.1, 10.0.0.2"
    assert finding.fix == "install transformers (constraints.txt names the version) there"


def test_many_nodes_are_not_all_named() -> None:
    old = replace(MACHINE, versions={**VERSIONS, "ray": "2.59.0"})
    nodes = [HEAD, *(replace(OTHER, name=f"n{i}", machine=old) for i in range(8))]
    (finding,) = problems(replace(HEALTHY, nodes=nodes, pairs=()))
    assert finding.subject == "n0, n1, n2, n3, n4 and 3 more"


def test_a_torch_that_cannot_be_imported_is_an_error() -> None:
    found = on_other(torch_problem="libcudart.so.13: cannot open shared object file")
    assert problems(found) == [
        Finding(
            "error",
            "10.0.0.2",
            "torch cannot be used: libcudart.so.13: cannot open shared object file",
            "install torch there again, the build for its Python and CUDA",
        )
    ]


def gpu_cluster(**changes: Any) -> Examination:
    machine = replace(MACHINE, torch_gpus=2, gpu_devices=2)
    head = replace(HEAD, ray_gpus=2.0, machine=machine)
    other = replace(OTHER, ray_gpus=2.0, machine=replace(machine, **changes))
    return replace(HEALTHY, nodes=(head, other))


def test_gpus_that_ray_and_torch_agree_on_are_well() -> None:
    findings = judge(gpu_cluster())
    assert Finding("ok", "GPUs", "Ray and torch agree: 4 on 2 nodes") in findings
    assert exit_code(findings) == 0


@pytest.mark.parametrize(("build", "severity"), [("12.8", "error"), ("13.1", "warning")])
def test_torch_builds_for_different_cudas_are_named(build: str, severity: Any) -> None:
    assert problems(gpu_cluster(cuda_build=build)) == [
        Finding(
            severity,
            "CUDA",
            f"torch is built for different ones: 13.0 on 10.0.0.1; {build} on 10.0.0.2",
            "install the same build of torch on all nodes that have GPUs",
        )
    ]


def test_different_drivers_are_a_warning() -> None:
    assert problems(gpu_cluster(driver="570.86.10")) == [
        Finding(
            "warning",
            "CUDA",
            "the NVIDIA drivers differ: 580.65.06 on 10.0.0.1; 570.86.10 on 10.0.0.2",
            "bring them to one version; torch sees GPUs with each of them, so jobs run",
        )
    ]


def test_gpus_that_ray_does_not_count_are_a_warning() -> None:
    assert problems(on_other(torch_gpus=2, gpu_devices=2)) == [
        Finding(
            "warning",
            "10.0.0.2",
            "torch sees 2 GPU(s), Ray counts 0: jobs do not use the others",
            "start Ray there with --num-gpus=2",
        )
    ]


def test_gpus_that_torch_does_not_see_are_an_error() -> None:
    machine = replace(MACHINE, gpu_devices=2, driver="470.1")
    other = replace(OTHER, ray_gpus=2.0, machine=machine)
    assert problems(replace(HEALTHY, nodes=(HEAD, other))) == [
        Finding(
            "error",
            "10.0.0.2",
            "Ray counts 2 GPU(s), torch sees 0; torch is built for CUDA 13.0, the driver is 470.1",
            "look at `nvidia-smi` there: the driver may be too old for that CUDA, the container "
            "started without the GPUs, or Ray with a wrong --num-gpus",
        )
    ]


def test_devices_that_neither_sees_are_a_warning() -> None:
    assert problems(on_other(gpu_devices=1)) == [
        Finding(
            "warning",
            "10.0.0.2",
            "it has 1 NVIDIA device(s), torch sees none; torch is built for CUDA 13.0, the driver "
            "is 580.65.06",
            "look at `nvidia-smi` there: the driver may be too old for that CUDA",
        )
    ]


@pytest.mark.parametrize(("counted", "severity"), [(0.0, "warning"), (2.0, "error")])
def test_a_cpu_build_of_torch_on_a_gpu_node_is_named(counted: float, severity: Any) -> None:
    machine = replace(MACHINE, gpu_devices=2, cuda_build=None)
    other = replace(OTHER, ray_gpus=counted, machine=machine)
    assert problems(replace(HEALTHY, nodes=(HEAD, other))) == [
        Finding(
            severity,
            "10.0.0.2",
            "it has 2 NVIDIA device(s), and torch is a CPU build",
            "install a CUDA build of torch there",
        )
    ]
