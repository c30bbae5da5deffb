"""Do the nodes' versions agree, and do Ray and torch see the same GPUs? Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from unfreeze.cluster.doctor.facts import Examination, Finding, Machine, Node

THIS_MACHINE = "this machine"
MUST_AGREE = {
    "python": 2,
    "ray": 3,
    "torch": 2,
    "deepspeed": 2,
    "transformers": 2,
    "unfreeze": 3,
}
"""How many parts of a version must be the same. Python: functions travel as byte code, which a
minor version changes. Ray: it refuses any other of its own. Ours: workers are sent the driver's
objects. The others: a minor version may change numbers, or the names that we use."""

_MOST_NAMES = 5
_SHOWN = {"python": "Python"}


def judge_software(found: Examination) -> list[Finding]:
    """Versions of Python, packages, CUDA and drivers."""
    machines = _machines(found)
    findings = []
    for package in MUST_AGREE:
        versions = {name: machine.versions.get(package) for name, machine in machines.items()}
        findings += _missing(package, versions)
        findings += _differing(package, versions)
    findings += _code(machines)
    findings += [
        Finding(
            "error",
            name,
            f"torch cannot be used: {machine.torch_problem}",
            "install torch there again, the build for its Python and CUDA",
        )
        for name, machine in machines.items()
        if machine.torch_problem and machine.versions.get("torch")
    ]
    findings += _cuda(found.nodes)
    if findings or len(machines) == 1:
        return findings
    ours = found.this_machine.versions
    same = ", ".join(f"{_SHOWN.get(name, name)} {ours[name]}" for name in MUST_AGREE)
    return [Finding("ok", "versions", f"the same on {_number(len(machines) - 1)}: {same}")]


def judge_accelerators(nodes: Sequence[Node]) -> list[Finding]:
    """GPUs as Ray counts them, as torch sees them, and as the system has them."""
    seen = [(node, node.machine) for node in nodes if node.machine]
    findings = [
        finding
        for node, machine in seen
        if not machine.torch_problem and (finding := _accelerators(node, machine))
    ]
    if findings or not seen:
        return findings
    gpus = sum(machine.torch_gpus for _, machine in seen)
    return [Finding("ok", "GPUs", f"Ray and torch agree: {gpus} on {_number(len(seen))}")]


def names(nodes: Sequence[str]) -> str:
    """`a, b and 3 more`."""
    more = len(nodes) - _MOST_NAMES
    return ", ".join(nodes[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _machines(found: Examination) -> dict[str, Machine]:
    nodes = {node.name: node.machine for node in found.nodes if node.machine}
    return {THIS_MACHINE: found.this_machine, **nodes}


def _missing(package: str, versions: Mapping[str, str | None]) -> list[Finding]:
    without = [name for name, version in versions.items() if version is None]
    if not without:
        return []
    wanted = _usual(versions)
    fix = f"install {package} {wanted or '(constraints.txt names the version)'} there"
    text = f"{package} is not installed"
    if package == "unfreeze":
        fix += "; `unfreeze submit` needs none, as it sends its own"
        return [Finding("warning", names(without), text, fix)]
    return [Finding("error", names(without), text, fix)]


def _differing(package: str, versions: Mapping[str, str | None]) -> list[Finding]:
    places = _places(versions)
    if len(places) < 2:
        return []
    parts = MUST_AGREE[package]
    weighty = len({_release(version)[:parts] for version in places}) > 1
    wanted = _usual(versions)
    others = [name for name, version in versions.items() if version not in (wanted, None)]
    shown = _SHOWN.get(package, package)
    return [
        Finding(
            "error" if weighty else "warning",
            names(others),
            f"{shown} differs: {_listed(places)}",
            f"install {shown} {wanted} there too",
        )
    ]


def _code(machines: Mapping[str, Machine]) -> list[Finding]:
    """Of this machine's version, but other code: an edited checkout has the number of the last."""
    ours = machines[THIS_MACHINE]
    version = ours.versions.get("unfreeze")
    same = {name: m.code for name, m in machines.items() if m.versions.get("unfreeze") == version}
    others = [name for name, code in same.items() if code not in (ours.code, None)]
    if not others:
        return []
    return [
        Finding(
            "warning",
            names(others),
            f"unfreeze {version} is other code there: {_listed(_places(same))}",
            "install the same wheel or commit there; `unfreeze submit` sends its own",
        )
    ]


def _cuda(nodes: Sequence[Node]) -> list[Finding]:
    on_gpu = [(n.name, n.machine) for n in nodes if n.machine and n.machine.torch_gpus]
    builds = _places({name: machine.cuda_build for name, machine in on_gpu})
    drivers = _places({name: machine.driver for name, machine in on_gpu})
    findings = []
    if len(builds) > 1:
        weighty = len({_release(build)[:1] for build in builds}) > 1
        findings.append(
            Finding(
                "error" if weighty else "warning",
                "CUDA",
                f"torch is built for different ones: {_listed(builds)}",
                "install the same build of torch on all nodes that have GPUs",
            )
        )
    if len(drivers) > 1:
        findings.append(
            Finding(
                "warning",
                "CUDA",
                f"the NVIDIA drivers differ: {_listed(drivers)}",
                "bring them to one version; torch sees GPUs with each of them, so jobs run",
            )
        )
    return findings


def _accelerators(node: Node, machine: Machine) -> Finding | None:
    counted, seen, devices = node.ray_gpus, machine.torch_gpus, machine.gpu_devices
    versions = f"torch is built for CUDA {machine.cuda_build}, the driver is {machine.driver}"
    if devices and machine.cuda_build is None and machine.versions.get("torch"):
        return Finding(
            "error" if counted else "warning",
            node.name,
            f"it has {devices} NVIDIA device(s), and torch is a CPU build",
            "install a CUDA build of torch there",
        )
    if counted > seen:
        return Finding(
            "error",
            node.name,
            f"Ray counts {counted:g} GPU(s), torch sees {seen}; {versions}",
            "look at `nvidia-smi` there: the driver may be too old for that CUDA, the container "
            "started without the GPUs, or Ray with a wrong --num-gpus",
        )
    if seen > counted:
        return Finding(
            "warning",
            node.name,
            f"torch sees {seen} GPU(s), Ray counts {counted:g}: jobs do not use the others",
            f"start Ray there with --num-gpus={seen}",
        )
    if devices and not seen:
        return Finding(
            "warning",
            node.name,
            f"it has {devices} NVIDIA device(s), torch sees none; {versions}",
            "look at `nvidia-smi` there: the driver may be too old for that CUDA",
        )
    return None


def _places(versions: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Version -> who has it."""
    places: dict[str, list[str]] = {}
    for name, version in versions.items():
        if version is not None:
            places.setdefault(version, []).append(name)
    return places


def _listed(places: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{version} on {names(nodes)}" for version, nodes in places.items())


def _usual(versions: Mapping[str, str | None]) -> str | None:
    """This machine's, for it decides what is run; else the most frequent one."""
    known = [version for version in versions.values() if version is not None]
    most = Counter(known).most_common(1)
    return versions.get(THIS_MACHINE) or (most[0][0] if most else None)


def _release(version: str) -> tuple[str, ...]:
    """2.13.0+cpu -> 2, 13, 0."""
    return tuple(version.partition("+")[0].split("."))


def _number(nodes: int) -> str:
    return "one node" if nodes == 1 else f"{nodes} nodes"
