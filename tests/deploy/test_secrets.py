"""No file of deploy/, and no page about it, holds a secret or shows a way to spill one."""

import re
import subprocess
from pathlib import Path

import pytest
from deploy_files import DEPLOY, ROOT

FILES = [
    *(p for p in sorted(DEPLOY.rglob("*")) if p.is_file() and "secrets" not in p.parent.parts[-1:]),
    ROOT / "docs" / "deploy.md",
]
SECRETS = {
    "an access key of AWS": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a long random text": r"\b(?=\w*\d)(?=\w*[a-zA-Z])(?!sha256)\w{32,}\b",
    "a token as a value": r"RAY_AUTH_TOKEN\s*[=:]\s*\S",
    "a key as a value": r"(?i)(secret_access_key|secretkey|password)\"?\s*[=:]\s*\"?[^\s\"$<{]",
    "a token on a command line": r"--from-literal",
}


def found_in(text: str) -> list[str]:
    return [what for what, pattern in SECRETS.items() if re.search(pattern, text)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_there_is_no_secret_in_it(file: Path) -> None:
    assert found_in(file.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "aws_access_key_id = " + "AKIA" + "IOSFODNN7EXAMPLE",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "token: " + "0123456789abcdef" * 4,
        "RAY_AUTH_TOKEN: abc",
        "aws_secret_access_key = wJalr",
        '"secretKey": "abc"',
        "kubectl create secret generic x --from-literal=auth_token=abc",
    ],
)
def test_a_planted_secret_is_found(text: str) -> None:
    assert found_in(text)


@pytest.mark.parametrize("path", ["deploy/secrets/ray-token", "deploy/.env"])
def test_what_secrets_sh_makes_cannot_be_committed(path: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT).returncode == 0


def test_the_example_of_settings_has_those_that_compose_reads() -> None:
    read = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    assert read == {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
