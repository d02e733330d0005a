"""Records carry the number of their format; a newer one is refused, an older one is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from parcels import Project

from gatewright.adapters.signing import KEY, make_signing_key, sign, verify
from gatewright.errors import Refused
from gatewright.registry.git_registry import Registry
from gatewright.registry.records import (
    FORMAT,
    EnvironmentRecord,
    NewerFormat,
    VersionRecord,
    parse_record,
    record_text,
)

PATH = "environments/dev.yaml"
RECORD = EnvironmentRecord(
    "dev", "1.0.0", "promote", "2026-01-01", "ada", None, None, None, None, "0" * 64, {}
)


def test_a_record_says_its_format_first() -> None:
    text = record_text(RECORD)
    assert text.startswith(f"format: {FORMAT}\n")
    assert parse_record(PATH, text) == RECORD


def test_one_from_before_formats_were_numbered_is_read_and_stays_as_it_was() -> None:
    text = record_text(replace(RECORD, format=None))
    assert "format" not in text
    record = parse_record(PATH, text)
    assert record == replace(RECORD, format=None)
    assert record_text(record) == text


def test_a_newer_one_is_refused_with_what_reads_it() -> None:
    with pytest.raises(NewerFormat, match=r"format 2, and gatewright \d.*reads formats up to 1"):
        parse_record(PATH, record_text(replace(RECORD, format=FORMAT + 1)) + "another: field\n")


@pytest.mark.parametrize("number", ["0", "-1", "true", "'1'", "1.0", "[1]"])
def test_what_is_no_number_of_a_format_is_an_edit(number: str) -> None:
    text = record_text(RECORD).replace(f"format: {FORMAT}", f"format: {number}")
    with pytest.raises(Refused, match="which is none; it was edited") as refusal:
        parse_record(PATH, text)
    assert type(refusal.value) is Refused


@pytest.mark.parametrize(
    "words",
    [["status"], ["history"], ["gate"], ["rollback", "dev"], ["promote", "1.0.0", "--to", "dev"]],
    ids=lambda words: words[0],
)
def test_no_command_decides_over_a_newer_record(words: list[str], released: Project) -> None:
    """It is not called an edit, which somebody would revert."""

    def write(tree: Path) -> None:
        record = yaml.safe_load((tree / PATH).read_text())
        record |= {"format": 2, "canary": "5%", "previous": "1.0.0", "version": "1.1.0"}
        (tree / PATH).write_text(yaml.safe_dump(record, sort_keys=False))

    released.change_branch("registry", write)
    before = released.registry()
    said = released.mlops(*words, expect=1).err
    assert "registry:environments/dev.yaml is a record of format 2" in said
    assert "Update gatewright" in said
    assert "is not what a command wrote" not in said
    assert released.registry() == before
    assert "is a record of format 2" in released.mlops("doctor", expect=1).out


def test_the_signature_covers_the_format(
    released: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_signing_key()
    monkeypatch.setenv(KEY, private)
    (tmp_path / "security").mkdir()
    (tmp_path / "security/signers.txt").write_text(public)
    record = Registry(released.root).fetch().version("1.0.0")
    old = replace(record, format=None)
    for signed, other in ((record, old), (old, record)):
        signature = sign(tmp_path, signed.statement)
        assert signature is not None
        read = parse_record(
            "versions/1.0.0.yaml", record_text(replace(signed, signature=signature))
        )
        assert isinstance(read, VersionRecord)
        verify(tmp_path, read.statement, signature, "It")
        with pytest.raises(Refused, match="not what was signed"):
            verify(tmp_path, other.statement, signature, "It")
