"""The rollback that is rehearsed: the real one, on a copy that nobody sees."""

from parcels import Project


def test_a_drill_walks_the_rollback_and_changes_nothing(second: Project) -> None:
    second.mlops("promote", "1.1.0", "--to", "staging")
    before = second.registry(), second.live(), second.git("status", "--porcelain")
    answer = second.ask("drill", "staging")
    assert (answer["before"], answer["after"]) == ("1.1.0", "1.0.0")
    assert set(answer["seconds"]) == {"clone", "roll back", "smoke check"}
    assert (second.registry(), second.live(), second.git("status", "--porcelain")) == before
    said = second.mlops("drill", "staging").out
    assert "staging would be back on 1.0.0 (is on 1.1.0) in" in said


def test_a_drill_does_not_need_the_head_of_origin(second: Project) -> None:
    """A bare repository that was made before its first push may name a branch that is not there."""
    origin = second.git("remote", "get-url", "origin").strip()
    second.git("--git-dir", origin, "symbolic-ref", "HEAD", "refs/heads/trunk")
    assert second.ask("drill", "dev")["after"] == "1.0.0"


def test_a_drill_finds_what_would_stop_the_real_one(second: Project) -> None:
    assert "no way back" in second.mlops("drill", expect=1).err  # only 1.0.0 was in production
    place = second.stored("1.0.0", "dev")
    second.change_branch("dvc-storage", lambda tree: (tree / place).write_bytes(b"short"))
    said = second.mlops("drill", "dev", expect=1).err
    assert "is not what was registered" in said


def test_there_is_nothing_to_rehearse_before_the_first_promotion(trained: Project) -> None:
    assert "nothing to rehearse" in trained.mlops("drill", "dev", expect=1).err
    assert "no environment 'nowhere'" in trained.mlops("drill", "nowhere", expect=64).err
