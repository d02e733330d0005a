"""Where training cannot run again, only the workflow that trained may vouch for what it gave."""

from __future__ import annotations

import json
from typing import Any

import pytest
from parcels import Project, red
from reviews import RANDOM, Review, forge, lenient

from gatewright.adapters.git import Git
from gatewright.adapters.signing import TRAININGS, VERSIONS, make_signing_key
from gatewright.pipeline.attestation import PLACE, not_attested

RUN = "https://github.com/acme/late-flights/actions/runs/7"


@pytest.fixture
def key() -> tuple[str, str]:
    return make_signing_key()


@pytest.fixture
def attested(released: Project, key: tuple[str, str]) -> Project:
    """The base branch says `reproduce: attested`, and trusts a key."""
    released.edit("gates.yaml", "checks:\n", "reproduce: attested\nchecks:\n")
    trust(released, key[1])
    released.commit("Trainings are attested")
    released.git("push", "--quiet")
    return released


def trust(project: Project, public: str) -> None:
    path = project.root / TRAININGS.file
    path.parent.mkdir(exist_ok=True)
    path.write_text(public)


def trained(base: Project, code: str = RANDOM) -> Review:
    """A branch whose training gives something else each time."""
    review = Review(base)
    review.train(code)
    review.candidate.commit()
    review.candidate.git("push", "--quiet", "origin", "HEAD:change")
    return review


def attest(review: Review, private: str, monkeypatch: pytest.MonkeyPatch, expect: int = 0) -> Any:
    """What the second job of the workflow does, in a checkout of the default branch."""
    commit = review.candidate.git("rev-parse", "HEAD")
    with monkeypatch.context() as patch:
        patch.setenv(TRAININGS.secret, private)
        words = (str(review.candidate.root), "--commit", commit)
        return review.base.mlops("attest", *words, expect=expect)


def lock_says(verdict: Any) -> str:
    (lock,) = [answer for answer in verdict["answers"] if answer["check"] == "lock"]
    return str(lock["findings"][0]["message"])


def test_what_was_attested_is_let_in_and_registered(
    attested: Project, key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    review = trained(attested)
    said = attest(review, key[0], monkeypatch).out
    assert said.endswith("dvc.lock and reports are committed to change.\n")
    assert review.prove()["reproduced"] == [], "it takes hours"
    verdict = review.judge()
    assert lock_says(verdict) == (
        "code, parameters and data are those of dvc.lock; attested by the workflow that trained: "
        "train, evaluate"
    )
    attested.git("pull", "--quiet", "origin", "change")
    attested.git("push", "--quiet")
    attested.dvc("pull", "--quiet")
    attested.mlops("register")
    assert attested.record("1.1.0")["reproduced"] == "attested"


def test_without_an_attestation_nothing_is_believed(attested: Project) -> None:
    review = trained(attested)
    review.prove()
    verdict = review.judge(expect=1)
    assert red(verdict) == {"lock"}
    assert f"nothing attests what train, evaluate gave: there is no {PLACE}" in str(verdict)
    attested.git("pull", "--quiet", "origin", "change")
    attested.dvc("pull", "--quiet")
    said = attested.mlops("register", expect=1).err
    assert f"gates.yaml says `reproduce: attested` and there is no {PLACE}" in said


def test_what_is_the_base_branchs_needs_no_attestation(attested: Project) -> None:
    review = Review(attested)
    (review.candidate.root / "uv.lock").write_text("version = 1\n")
    review.prove()
    assert lock_says(review.judge()) == "code, parameters and data are those of dvc.lock"


def test_an_attestation_vouches_for_one_lock_only(
    attested: Project, key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forged model under the attestation of an honest one."""
    lenient(attested)
    review = trained(attested, "\n# as honest as it gets\n")
    attest(review, key[0], monkeypatch)
    forge(review.candidate)
    review.prove()
    assert "is of another dvc.lock" in lock_says(review.judge(expect=1))


def test_an_attestation_vouches_for_one_python_environment(
    attested: Project, key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    review = trained(attested)
    attest(review, key[0], monkeypatch)
    (review.candidate.root / "uv.lock").write_text("version = 1\n")
    review.prove()
    assert "is of another uv.lock" in lock_says(review.judge(expect=1))


def test_a_key_that_only_the_candidate_trusts_vouches_for_nothing(
    attested: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = trained(attested)
    private, public = make_signing_key()
    trust(review.candidate, public)
    review.candidate.commit("My own key")
    commit = review.candidate.git("rev-parse", "HEAD")
    with monkeypatch.context() as patch:
        patch.setenv(TRAININGS.secret, private)
        review.candidate.mlops("attest", ".", "--commit", commit)
    review.prove()
    assert "signed by a key that security/trainers.txt does not hold" in lock_says(
        review.judge(expect=1)
    )


def test_a_key_that_signs_versions_attests_no_training(
    attested: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_signing_key()
    path = attested.root / VERSIONS.file
    path.write_text(public)
    attested.commit("Versions are signed")
    attested.git("push", "--quiet")
    review = trained(attested)
    said = attest(review, private, monkeypatch, expect=1).err
    assert "There is no TRAINING_KEY here that security/trainers.txt trusts" in said


def doctored(change: Any) -> Any:
    def change_it(text: str) -> str:
        value = json.loads(text)
        change(value)
        return json.dumps(value)

    return change_it


DOCTORED = {
    "no JSON": lambda _: "{",
    "nothing": lambda _: "{}",
    "a later format": doctored(lambda value: value["statement"].update(format=2)),
    "more words": doctored(lambda value: value.update(approved=True)),
    "another commit": doctored(lambda value: value["statement"].update(commit="a" * 40)),
    "no signature": doctored(lambda value: value.update(signature={})),
    "half a signature": doctored(lambda value: value["signature"].update(signature="AAAA")),
}


def test_an_attestation_that_was_changed_vouches_for_nothing(
    attested: Project, key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    review = trained(attested, "\n# as honest as it gets\n")
    attest(review, key[0], monkeypatch)
    git, path = Git(review.candidate.root), review.candidate.root / PLACE
    assert not_attested(attested.root, git, "HEAD") is None
    honest = path.read_text()
    for name, spoil in DOCTORED.items():
        path.write_text(spoil(honest))
        review.candidate.commit(name)
        assert not_attested(attested.root, git, "HEAD"), name


def test_only_what_was_trained_is_attested(
    attested: Project, key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody pushed between the two jobs."""
    review = trained(attested)
    commit = review.candidate.git("rev-parse", "HEAD")
    (review.candidate.root / "more.md").write_text("More.\n")
    review.candidate.commit("More")
    monkeypatch.setenv(TRAININGS.secret, key[0])
    words = (str(review.candidate.root), "--commit", commit)
    said = attested.mlops("attest", *words, expect=1).err
    assert "somebody pushed in between" in said
    assert not (review.candidate.root / PLACE).exists()


def test_a_branch_may_not_choose_how_it_is_proven(released: Project) -> None:
    """Its own policy would need no building again."""
    lenient(released)
    review = Review(released)
    review.run()
    forge(review.candidate)
    review.candidate.edit("gates.yaml", "checks:\n", "reproduce: attested\nchecks:\n")
    review.prove(expect=1)
    verdict = review.judge(expect=1)
    assert "its outputs do not follow from its inputs" in lock_says(verdict)
    assert "reproduce: not set -> attested" in str(verdict["notes"])


def test_all_stages_run_anew_where_they_are_attested(trained: Project) -> None:
    """What lies in the cache or is remembered is not taken for what training gave."""
    forge(trained)
    trained.mlops("run")
    forged = (trained.root / "dvc.lock").read_text()
    trained.git("checkout", "--quiet", "dvc.lock")
    honest = (trained.root / "dvc.lock").read_text()
    (trained.root / "dvc.lock").write_text(forged)
    trained.mlops("run", "--anew")
    assert (trained.root / "dvc.lock").read_text() == honest
