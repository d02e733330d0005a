"""What vouches for a version: its signature, GitHub's attestation, and what policy demands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hub import Hub
from parcels import Project

from gatewright.adapters import model_file
from gatewright.adapters.signing import KEY, make_signing_key, sign, signers, verify
from gatewright.errors import Refused

STATEMENT = {"version": "1.0.0", "files": [{"sha256": "0" * 64, "size": 1}], "value": 0.1}
GH = """\
#!/bin/sh
echo "$@" > "{folder}/asked"
test -f "{folder}/attested" || {{ echo "no attestations found" >&2; exit 1; }}
"""


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """The public half of a key whose private half the environment holds."""
    private, public = make_signing_key()
    monkeypatch.setenv(KEY, private)
    return public


def trust(project: Project, *public: str) -> None:
    path = project.root / "security/signers.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("Who may sign.\n\n" + "\n".join(public))
    project.commit("Who may sign")
    project.git("push", "--quiet")


def demand(project: Project, what: str) -> None:
    path = project.root / "gates.yaml"
    path.write_text(f"protection: {{production: [{what}], dev: [{what}]}}\n{path.read_text()}")
    project.commit("Demand it")
    project.git("push", "--quiet")


def test_a_version_is_signed_and_its_promotions_say_so(trained: Project, key: str) -> None:
    trust(trained, key)
    demand(trained, "signature")
    trained.mlops("register")
    assert set(trained.record("1.0.0")["signature"]) == {"key", "signature"}
    trained.mlops("promote", "1.0.0", "--to", "dev")
    assert trained.ask("status")["dev"]["evidence"]["protection"] == ["signature"]


def test_without_a_signature_nothing_enters_where_one_is_demanded(released: Project) -> None:
    demand(released, "signature")
    released.retrain(0.5)
    released.mlops("register")
    said = released.mlops("promote", "1.1.0", "--to", "dev", expect=1).err
    assert "1.1.0 has no signature, and dev demands it" in said
    assert released.live()["dev"] == "1.0.0"


def test_a_key_that_the_project_does_not_know_signs_nothing(trained: Project, key: str) -> None:
    assert "does not hold the key" in trained.mlops("register").err
    assert trained.record("1.0.0")["signature"] is None


def test_a_key_that_was_taken_out_vouches_for_nothing(trained: Project, key: str) -> None:
    trust(trained, key)
    trained.mlops("register")
    trust(trained, make_signing_key()[1])
    said = trained.mlops("promote", "1.0.0", "--to", "dev", expect=1).err
    assert "signed by a key that security/signers.txt does not hold" in said


OPENING = [
    ["gate"],
    ["register"],
    ["promote", "1.1.0", "--to", "staging"],
    ["smoke", "dev"],
    ["drill", "dev"],
    ["policy", "test"],
    ["policy", "propose"],
]


def test_a_version_whose_signature_does_not_verify_is_never_opened(
    trained: Project, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command that opens a version's model, as candidate or as champion."""
    trust(trained, key)
    trained.mlops("register")
    trained.mlops("promote", "1.0.0", "--to", "dev")
    trained.retrain(0.5)
    trained.mlops("register")
    trained.mlops("promote", "1.1.0", "--to", "dev")
    opened: list[Path] = []
    read = model_file._read

    def watched(path: Path) -> Any:
        opened.append(path)
        return read(path)

    monkeypatch.setattr(model_file, "_read", watched)
    for words in OPENING:
        if words[0] not in ("register", "promote"):  # they would change what is there
            opened.clear()
            trained.mlops(*words)
            assert opened, f"{words} opens nothing, so this would prove nothing"
    trust(trained, make_signing_key()[1])
    opened.clear()
    for words in OPENING:
        said = trained.mlops(*words, expect=1).err
        assert "signed by a key that security/signers.txt does not hold" in said, words
    assert opened == []
    assert "1.1.0 is signed by a key that" in trained.mlops("doctor", expect=1).out


def test_a_changed_statement_is_not_what_was_signed(tmp_path: Path, key: str) -> None:
    (tmp_path / "security").mkdir()
    (tmp_path / "security/signers.txt").write_text(key)
    signature = sign(tmp_path, STATEMENT)
    assert signature is not None
    verify(tmp_path, dict(reversed(STATEMENT.items())), signature, "It")  # order says nothing
    changes: list[dict[str, Any]]
    changes = [{"version": "1.0.1"}, {"files": []}, {"value": 0.10000000000000002}]
    for change in changes:
        with pytest.raises(Refused, match="It is not what was signed"):
            verify(tmp_path, STATEMENT | change, signature, "It")
    for broken in ("", "AAAA", "not base64 \u00e9", signature["signature"][:-4] + "AAA="):
        with pytest.raises(Refused, match="not what was signed"):
            verify(tmp_path, STATEMENT, signature | {"signature": broken}, "It")


def test_one_key_cannot_speak_for_another(tmp_path: Path, key: str) -> None:
    other = make_signing_key()[1]
    (tmp_path / "security").mkdir()
    (tmp_path / "security/signers.txt").write_text(f"{key}\n{other}")
    signature = sign(tmp_path, STATEMENT)
    assert signature is not None
    (wrong,) = set(signers(tmp_path)) - {signature["key"]}
    with pytest.raises(Refused, match="not what was signed"):
        verify(tmp_path, STATEMENT, signature | {"key": wrong}, "It")


@pytest.mark.parametrize("text", ["rubbish", "-----BEGIN PRIVATE {}-----\nAAAA\n".format("KEY")])
def test_a_secret_that_is_no_key_signs_nothing(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, text)
    with pytest.raises(Refused, match="holds no Ed25519 key"):
        sign(tmp_path, STATEMENT)


def test_rubbish_among_the_signers_is_told(tmp_path: Path) -> None:
    (tmp_path / "security").mkdir()
    path = tmp_path / "security/signers.txt"
    path.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    with pytest.raises(Refused, match="no Ed25519 public key"):
        signers(tmp_path)


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for GitHub's program, which asks Sigstore; the folder says what is attested."""
    folder = tmp_path / "gh"
    folder.mkdir()
    (folder / "gh").write_text(GH.format(folder=folder))
    (folder / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_what_github_attests_enters(released: Project, gh: Path, hub: Hub) -> None:
    demand(released, "attestation")
    released.retrain(0.5)
    released.mlops("register")
    released.on_github()
    refused = released.mlops("promote", "1.1.0", "--to", "dev", expect=1).err
    assert "has no attestation, and dev demands it" in refused
    assert "no attestations found" in refused
    (gh / "attested").touch()
    released.mlops("promote", "1.1.0", "--to", "dev")
    asked = (gh / "asked").read_text()
    assert "--signer-workflow acme/late-flights/.github/workflows/release.yml" in asked
    assert "--repo acme/late-flights" in asked
    assert released.ask("status")["dev"]["evidence"]["protection"] == ["attestation"]


def test_where_it_cannot_be_asked_it_is_not_attested(
    released: Project, monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    demand(released, "attestation")
    released.retrain(0.5)
    released.mlops("register")
    said = released.mlops("promote", "1.1.0", "--to", "dev", expect=1).err
    assert "origin is no GitHub repository" in said
    released.on_github()
    git = Path(released.git("--exec-path")).parents[1] / "bin"
    monkeypatch.setenv("PATH", str(git))
    said = released.mlops("promote", "1.1.0", "--to", "dev", expect=1).err
    assert "the program gh, which verifies it, is not installed" in said


def test_a_demand_that_means_nothing_is_refused(released: Project) -> None:
    path = released.root / "gates.yaml"
    whole = path.read_text()
    path.write_text(f"protection: {{somewhere: [signature]}}\n{whole}")
    said = released.mlops("gate", expect=1).err
    assert "line 1: protection names no environment" in said
    path.write_text(f"protection: {{dev: [a promise]}}\n{whole}")
    assert "Input should be 'signature' or 'attestation'" in released.mlops("gate", expect=1).err
