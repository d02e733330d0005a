"""Talking to GitHub: what is sent, and what its many ways to say no come to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hub import Hub
from parcels import Project

from gatewright.adapters import github
from gatewright.adapters.deploy_key import make_key, registry_key
from gatewright.adapters.git import Git
from gatewright.adapters.github import Forbidden, GitHub, Missing
from gatewright.adapters.github_answers import DeployKey, Release
from gatewright.errors import Refused, Undecided

HERE = GitHub("github.com", "acme", "late-flights")

ORIGINS = {
    "https": ("https://github.com/acme/late-flights", "acme/late-flights"),
    "https with .git": ("https://github.com/acme/late-flights.git", "acme/late-flights"),
    "ssh": ("git@github.com:acme/late-flights.git", "acme/late-flights"),
    "ssh as a URL": ("ssh://git@github.com/acme/late.flights", "acme/late.flights"),
    "another host": ("https://example.com/acme/late-flights", None),
    "a name that looks like it": ("https://github.com.example.com/acme/x", None),
    "a folder": ("../origin.git", None),
}


@pytest.mark.parametrize(("url", "slug"), ORIGINS.values(), ids=ORIGINS.keys())
def test_origin_says_which_repository_it_is(url: str, slug: str | None, trained: Project) -> None:
    trained.git("remote", "set-url", "origin", url)
    found = GitHub.of(trained.root)
    assert (found.slug if found else None) == slug


def test_a_variable_does_not_say_it(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/late-flights")
    assert GitHub.of(trained.root) is None
    trained.git("remote", "remove", "origin")
    assert GitHub.of(trained.root) is None


def test_a_company_s_own_cloud_is_known_in_its_runs_and_its_own_server_refused(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host in ("acme.ghe.com", "git.example.com"):
        trained.git("remote", "set-url", "origin", f"https://{host}/acme/x")
        assert GitHub.of(trained.root) is None, "elsewhere than in its runs nothing says what it is"
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://acme.ghe.com")
    trained.git("remote", "set-url", "origin", "https://acme.ghe.com/acme/x")
    found = GitHub.of(trained.root)
    assert found is not None
    assert found.page == "https://acme.ghe.com/acme/x"
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.example.com")
    trained.git("remote", "set-url", "origin", "https://git.example.com/acme/x")
    with pytest.raises(Refused, match=r"git\.example\.com is a GitHub Enterprise Server"):
        GitHub.of(trained.root)


def test_lists_are_read_to_their_end(hub: Hub) -> None:
    hub.keys = [{"id": n, "title": str(n)} for n in range(250)]
    assert [key.id for key in HERE.every("keys", DeployKey)] == list(range(250))
    assert hub.tokens == ["Bearer ghs_token"] * 3


def test_what_is_not_there_is_none_or_missing(hub: Hub) -> None:
    assert HERE.find("releases/tags/v9", Release) is None
    with pytest.raises(Missing, match="knows no such thing"):
        HERE.get("releases/tags/v9", Release)


FAULTS: dict[str, tuple[dict[str, Any], type[Refused], str]] = {
    "401": ({"status": 401, "message": "Bad credentials"}, Forbidden, "Bad credentials"),
    "403": (
        {"status": 403, "headers": {"X-Accepted-GitHub-Permissions": "contents=write"}},
        Forbidden,
        "It needs contents=write",
    ),
    "422": ({"status": 422, "message": "Validation Failed"}, Refused, "422, Validation Failed"),
    "moved": ({"status": 301, "headers": {"Location": "https://x/"}}, Refused, "has moved"),
    "500": ({"status": 500}, Undecided, "answered 500"),
    "429": ({"status": 429, "headers": {"Retry-After": "0"}}, Undecided, "answered 429"),
    "429 for long": ({"status": 429, "headers": {"Retry-After": "999"}}, Undecided, "429"),
    "403 that means 429": (
        {"status": 403, "headers": {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"}},
        Undecided,
        "answered 403",
    ),
}


@pytest.mark.parametrize(("fault", "kind", "words"), FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_each_no_is_told_with_what_mends_it(
    method: str, fault: dict[str, Any], kind: type[Refused], words: str, hub: Hub
) -> None:
    hub.fault("keys", **fault)
    with pytest.raises(kind, match=words) as refusal:
        HERE.send(method, "keys", None if method == "GET" else {"title": "x", "key": "y"})
    assert type(refusal.value) is kind
    assert hub.keys == []


def test_reading_is_tried_again_and_writing_is_not(hub: Hub) -> None:
    hub.fault("keys", 502, times=2)
    assert HERE.every("keys", DeployKey) == []
    hub.fault("keys", 502, times=1)
    with pytest.raises(Undecided, match="run the command again"):
        HERE.send("POST", "keys", {"title": "x", "key": "y"})
    assert len([r for r in hub.requests if r[0] == "POST"]) == 1


def test_writing_waits_where_github_says_that_it_did_nothing(hub: Hub) -> None:
    hub.fault("keys", 429, times=2, headers={"Retry-After": "0"})
    HERE.send("POST", "keys", {"title": "x", "key": "y", "read_only": False})
    assert len(hub.keys) == 1


def test_a_server_that_is_down_or_slow_is_undecided(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github, "TIMEOUT", 0.1)
    hub.fault("keys", None, delay=0.4)
    with pytest.raises(Undecided, match="timed out"):
        HERE.get("keys", list[DeployKey])
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    with pytest.raises(Undecided, match="refused"):
        HERE.get("keys", list[DeployKey])


def test_a_token_goes_nowhere_else(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://example.com")
    with pytest.raises(Refused, match="only sent over https"):
        HERE.get("keys", list[DeployKey])


# The key of the registry


SSH = """\
#!/bin/sh
# Stands in for ssh to GitHub: only whoever holds the key may push.
ssh-add -L | grep -qF "$(cat {key})" || {{ echo "no key" >&2; exit 255; }}
echo "$@" >> {log}
exec git receive-pack {origin}
"""


def closed(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Close the registry to all but a deploy key; its private half."""
    private, public = make_key("test")
    (tmp_path / "key.pub").write_text(public)
    script, log = tmp_path / "ssh", tmp_path / "ssh.log"
    script.write_text(SSH.format(key=tmp_path / "key.pub", log=log, origin=project.origin))
    script.chmod(0o755)
    hook = project.origin / "hooks/pre-receive"
    hook.write_text(
        '#!/bin/sh\n[ -n "$SSH_AUTH_SOCK" ] && exit 0\n'
        "grep -q refs/heads/registry && echo closed >&2 && exit 1\nexit 0\n"
    )
    hook.chmod(0o755)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    return private


def test_the_key_opens_the_registry_and_lies_on_no_disk(
    second: Project, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second.on_github()
    private = closed(second, tmp_path, monkeypatch)
    assert "closed" in second.mlops("rollback", "dev", expect=2).err
    monkeypatch.setenv("REGISTRY_KEY", private)
    second.mlops("rollback", "dev")
    assert second.live()["dev"] == "1.0.0"
    assert "git@github.com" in (tmp_path / "ssh.log").read_text()
    secret = private.splitlines()[2]
    said = subprocess.run(["grep", "-rlF", secret, str(tmp_path)], capture_output=True, text=True)
    assert said.stdout == ""


def test_a_key_that_is_none_is_told(
    second: Project, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    second.on_github()
    monkeypatch.setenv("REGISTRY_KEY", "not a key")
    said = second.mlops("rollback", "dev", expect=1)
    assert "holds no private key that ssh can read" in said.err
    assert second.live()["dev"] == "1.1.0"


def test_github_s_own_host_keys_are_the_known_ones(
    second: Project, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    second.on_github()
    monkeypatch.delenv("GIT_SSH_COMMAND", raising=False)
    monkeypatch.setenv("REGISTRY_KEY", make_key("test")[0])
    with registry_key(second.root) as env:
        words = env["GIT_SSH_COMMAND"].split()
        (known,) = [w.partition("=")[2] for w in words if w.startswith("UserKnownHostsFile")]
        assert Path(known).read_text() == "github.com ssh-ed25519 AAAA\n"
        assert "StrictHostKeyChecking=yes" in words
    assert not Path(known).exists()


def test_the_token_is_given_to_git_for_one_command(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_ACTOR", "octocat")
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_token")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    there = trained.root / "receive-pack"
    there.write_text(
        f'#!/bin/sh\nenv | grep ^GIT_CONFIG_VALUE > {trained.root}/h\nexec git receive-pack "$@"\n'
    )
    there.chmod(0o755)
    trained.git("config", "remote.origin.receivepack", str(there))
    git, before = Git(trained.root), dict(os.environ)
    git("commit", "--quiet", "--allow-empty", "--no-verify", "-m", "Try")
    git("push", "--quiet", "origin", "HEAD")
    assert dict(os.environ) == before
    assert (trained.root / "h").read_text().count("=AUTHORIZATION: basic eC1hY2") == 1
    assert "extraheader" not in (trained.root / ".git/config").read_text()
    assert trained.git("log", "-1", "--format=%an %ce") == (
        "octocat octocat@users.noreply.github.com"
    )
