"""Which token a process uses, and who can read the file that it is in."""

import os
import stat
import sys
from pathlib import Path

import psutil
import pytest

from unfreeze.cluster import AuthenticationOff, TokenFileRefused
from unfreeze.cluster.local.processes import Recorded
from unfreeze.cluster.local.state import LocalCluster, LocalNode, write_state
from unfreeze.cluster.tokens import (
    MODE,
    TOKEN,
    TOKEN_PATH,
    check_token_file,
    make_token,
    settings_for,
    token_file,
    token_for,
    use_token,
)

ELSEWHERE = "10.0.0.1:6379"
HERE = "127.0.0.1:6379"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNFREEZE_HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    return tmp_path / "home"


@pytest.fixture
def other_token(tmp_path: Path) -> Path:
    return make_token(tmp_path / "other-token")


@pytest.fixture
def local_cluster() -> LocalCluster:
    """Written down as running: its head is this process."""
    here = Recorded(os.getpid(), psutil.Process().create_time())
    head = LocalNode("head", 0, (), here)
    cluster = LocalCluster(HERE, "http://127.0.0.1:8265", Path("/tmp/none"), (head,))
    write_state(cluster)
    return cluster


def test_a_new_token_is_ours_alone_and_stays_the_same(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        path = make_token(tmp_path / "new" / "ray-token")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    token = path.read_text()
    assert len(token) == 64
    assert make_token(path).read_text() == token
    assert make_token(tmp_path / "second").read_text() != token


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644, 0o777])
def test_a_file_that_others_can_read_is_refused_with_the_line_that_mends_it(
    other_token: Path, mode: int
) -> None:
    check_token_file(other_token)
    other_token.chmod(mode)
    with pytest.raises(TokenFileRefused, match=f"run chmod 600 {other_token}$") as error:
        check_token_file(other_token)
    assert other_token.read_text() not in str(error.value)
    with pytest.raises(TokenFileRefused):
        make_token(other_token)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenFileRefused, match=f"{tmp_path}/none: cannot be read"):
        check_token_file(tmp_path / "none")


def test_what_we_start_has_our_token_if_the_environment_names_none() -> None:
    assert settings_for(None, {}) == {MODE: "token", TOKEN_PATH: str(token_file())}
    assert settings_for(None, {MODE: "token"}) == {MODE: "token", TOKEN_PATH: str(token_file())}
    assert stat.S_IMODE(token_file().stat().st_mode) == 0o600


def test_what_we_start_has_the_token_that_the_environment_names(other_token: Path) -> None:
    assert settings_for(None, {TOKEN: "abc"}) == {MODE: "token"}
    assert settings_for(None, {TOKEN_PATH: str(other_token)}) == {MODE: "token"}
    assert not token_file().exists()


@pytest.mark.parametrize("mode", ["disabled", "Disabled", "kerberos"])
def test_nothing_is_started_without_a_token(mode: str) -> None:
    with pytest.raises(AuthenticationOff, match=f"^{MODE}={mode}: .* unset {MODE}$"):
        settings_for(None, {MODE: mode})


def test_a_cluster_elsewhere_gets_what_the_environment_says_and_never_our_token(
    other_token: Path,
) -> None:
    make_token(token_file())
    assert settings_for(ELSEWHERE, {}) == {}
    assert settings_for(ELSEWHERE, {MODE: "disabled"}) == {}
    assert settings_for(ELSEWHERE, {TOKEN_PATH: str(other_token)}) == {MODE: "token"}
    assert settings_for("auto", {}) == {}


@pytest.mark.parametrize("address", [HERE, "localhost:1", "[::1]:1", "http://127.0.0.1:8265"])
def test_on_loopback_our_token_is_used_if_there_is_one_and_none_is_named(
    address: str, other_token: Path
) -> None:
    assert settings_for(address, {}) == {}
    make_token(token_file())
    ours = {MODE: "token", TOKEN_PATH: str(token_file())}
    assert settings_for(address, {}) == ours
    assert settings_for(address, {MODE: "token"}) == ours
    assert settings_for(address, {MODE: "disabled"}) == {}
    assert settings_for(address, {TOKEN_PATH: str(other_token)}) == {MODE: "token"}


def test_a_token_file_of_the_environment_that_others_read_is_refused(other_token: Path) -> None:
    other_token.chmod(0o644)
    for address in (None, HERE, ELSEWHERE):
        with pytest.raises(TokenFileRefused, match="chmod 600"):
            settings_for(address, {TOKEN_PATH: str(other_token)})


@pytest.mark.parametrize("environment", [{}, {TOKEN: "abc"}, {MODE: "disabled"}])
def test_our_own_cluster_has_our_token_whatever_the_environment_says(
    local_cluster: LocalCluster, environment: dict[str, str]
) -> None:
    make_token(token_file())
    ours = {MODE: "token", TOKEN_PATH: str(token_file())}
    assert settings_for(local_cluster.address, environment) == ours
    assert settings_for(local_cluster.dashboard, environment) == ours


def test_ray_is_given_the_file_and_not_the_value(
    local_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_token(token_file())
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    for name, value in {MODE: "disabled", TOKEN: "abc", TOKEN_PATH: "none"}.items():
        monkeypatch.setenv(name, value)
    use_token(local_cluster.address)
    assert os.environ[MODE] == "token"
    assert os.environ[TOKEN_PATH] == str(token_file())
    assert TOKEN not in os.environ


def test_a_program_that_has_ray_already_keeps_its_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", sys)
    use_token(None)
    assert MODE not in os.environ
    assert not token_file().exists()


def test_the_token_of_a_request_is_that_of_the_same_rules(
    other_token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert token_for("http://10.0.0.1:8265") is None
    make_token(token_file())
    assert token_for("http://10.0.0.1:8265") is None
    assert token_for("http://127.0.0.1:8265") == token_file().read_text()
    monkeypatch.setenv(TOKEN_PATH, str(other_token))
    assert token_for("http://10.0.0.1:8265") == other_token.read_text()
    monkeypatch.setenv(TOKEN, "abc")
    assert token_for("http://127.0.0.1:8265") == "abc"
    monkeypatch.setenv(MODE, "disabled")
    assert token_for("http://127.0.0.1:8265") is None
