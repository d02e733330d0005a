"""Keys: the deploy key that opens the registry, those that sign, and where their secrets lie.

A secret is stored only in an environment of which GitHub says that jobs of other branches are kept
out; one that lies elsewhere is taken out and made anew, because any job could have read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from gatewright.adapters.deploy_key import APP_KEY, KEY, make_key
from gatewright.adapters.files import read_text, write_whole
from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import (
    DeployKey,
    Environment,
    Made,
    Named,
    PublicKey,
    Variable,
)
from gatewright.adapters.signing import TRAININGS, VERSIONS, Role, make_signing_key, signers
from gatewright.errors import Refused, Undecided
from gatewright.gate.policy import NAME as POLICY
from gatewright.gate.policy import PolicyFile
from gatewright.release.approval import APP_ID
from gatewright.repo_settings import desired
from gatewright.repo_settings.environments import is_guarded, one, training, wanted
from gatewright.repo_settings.steps import Step, sending

KEY_TITLE = "mlops registry"
SECRETS = (KEY, APP_KEY, VERSIONS.secret, TRAININGS.secret)


def app_id(github: GitHub) -> int | None:
    """The number of the GitHub App that writes the registry, where the variable names one."""
    named = github.find(f"actions/variables/{APP_ID}", Variable)
    return int(named.value) if named and named.value.isdecimal() else None


def deploy_keys(github: GitHub) -> list[DeployKey]:
    """The registry's: one, unless a renewal was broken off."""
    return [key for key in github.every("keys", DeployKey) if key.title == KEY_TITLE]


def exposed(github: GitHub, environment: desired.Environment) -> list[str]:
    """The secrets of ours that lie in an environment which does not guard them."""
    held = secrets_of(github, environment.name) & set(SECRETS)
    return sorted(held) if held and not is_guarded(github, environment) else []


def take_out(root: Path, github: GitHub) -> Iterator[Step]:
    for environment in (*wanted(root), training(root)):
        for name in exposed(github, environment):
            path = f"environments/{environment.name}/secrets/{name}"
            words = f"take {name} out of {environment.name}, where jobs of any branch could read it"
            yield Step(words, sending(github, "DELETE", path))


def registry_key(root: Path, github: GitHub) -> Iterator[Step]:
    """A deploy key that may write, whose private half is a secret of every environment.

    None where a GitHub App writes the registry.
    """
    if app_id(github):
        return
    places = desired.environments(root)
    keys = deploy_keys(github)
    lacking = [place.name for place in places if not _has(github, place, KEY)]
    if len(keys) == 1 and not lacking:
        return

    def renew() -> None:
        safe = [place for place in places if is_guarded(github, place)]
        if not safe:
            _remove(github, keys)
            raise Refused(
                "no environment here keeps jobs of other branches from its secrets, so no key is "
                "stored. Jobs write the registry with their own token, and so may everybody who "
                "can push; `mlops doctor` finds what nobody approved. GitHub Pro, Team, or a "
                "public repository has environments that do."
            )
        private, public = make_key(f"{KEY_TITLE} of {github.slug}")
        request = {"title": KEY_TITLE, "key": public, "read_only": False}
        try:
            made = github.make("POST", "keys", request, Made)
        except Undecided:
            raise
        except Refused as error:
            raise Refused(f"{error} {no_deploy_keys(github)}") from None
        _store(github, safe, private, made)
        _remove(github, keys)
        if open_ := [place.name for place in places if place not in safe]:
            raise Refused(
                f"it was not stored in {', '.join(open_)}, which any branch's jobs enter."
            )

    names = ", ".join(place.name for place in places)
    yield Step(f"a new deploy key, as secret {KEY} of {names}", renew)


def no_deploy_keys(github: GitHub) -> str:
    """What to say where GitHub makes no deploy key."""
    return (
        "Where the organisation forbids them, an owner allows them at "
        f"https://{github.host}/organizations/{github.owner}/settings/deploy_keys, or a GitHub App "
        f"takes their place: its number as the variable {APP_ID} and its key as the secret "
        f"{APP_KEY} of each environment (`mlops explain github`). Until then the registry is not "
        "closed: jobs write it with their own token, and so may everybody who can push; `mlops "
        "doctor` finds what nobody approved."
    )


def _store(github: GitHub, places: Iterable[desired.Environment], private: str, made: Made) -> None:
    for number, place in enumerate(places):
        try:
            put_secret(github, place, KEY, private)
        except Refused:
            if number == 0:  # nobody holds it, so it is taken back
                with suppress(Refused):
                    github.send("DELETE", f"keys/{made.id}")
            raise


def _remove(github: GitHub, keys: Iterable[DeployKey]) -> None:
    for old in keys:
        github.send("DELETE", f"keys/{old.id}")


def signing(root: Path, github: GitHub) -> Iterator[Step]:
    """A key that signs versions: a secret of the first environment, where they are registered."""
    first = desired.environments(root)[0]
    if not (signers(root) and _has(github, first, VERSIONS.secret)):
        yield _new_key(root, github, first, VERSIONS, "signs versions")


def attesting(root: Path, github: GitHub) -> Iterator[Step]:
    """Where trainings are attested, or an App starts the checks of what was trained, an environment
    that only the default branch's jobs enter."""
    attested = PolicyFile.parse(read_text(root / POLICY)).reproduce == "attested"
    if not attested and app_id(github) is None:
        return
    place = training(root)
    yield from one(github, place, [], [])
    if attested and not (signers(root, TRAININGS) and _has(github, place, TRAININGS.secret)):
        yield _new_key(root, github, place, TRAININGS, "attests trainings")


def _new_key(root: Path, github: GitHub, place: desired.Environment, role: Role, does: str) -> Step:
    """A key whose private half is a secret, and whose public half is added to the role's file."""

    def renew() -> None:
        private, public = make_signing_key()
        path = root / role.file
        before = read_text(path).rstrip() + "\n\n" if path.exists() else ""
        put_secret(github, place, role.secret, private)
        write_whole(path, before + public)

    words = f"a new key that {does}, as secret {role.secret} of {place.name}; commit {role.file}"
    return Step(words, renew)


def secrets_of(github: GitHub, environment: str) -> set[str]:
    """The names of what an environment holds; nothing where it is not there."""
    if github.find(f"environments/{environment}", Environment) is None:
        return set()
    path = f"environments/{environment}/secrets"
    return {secret.name for secret in github.every(path, Named, "secrets")}


def _has(github: GitHub, place: desired.Environment, name: str) -> bool:
    """Whether an environment holds a secret, and guards it."""
    return name in secrets_of(github, place.name) and is_guarded(github, place)


def put_secret(github: GitHub, place: desired.Environment, name: str, value: str) -> None:
    """Store a secret of an environment, sealed for GitHub (libsodium's sealed box).

    Raises Refused where GitHub does not say that only the wanted branches' jobs are let in.
    """
    from nacl.encoding import Base64Encoder
    from nacl.public import PublicKey as SealingKey
    from nacl.public import SealedBox

    if not is_guarded(github, place):
        raise Refused(
            f"{name} was not stored in the environment {place.name}: GitHub lets jobs of any "
            "branch in there, and each could read it. GitHub Pro, Team, or a public repository "
            "has environments that choose their branches."
        )
    path = f"environments/{place.name}/secrets"
    key = github.get(f"{path}/public-key", PublicKey)
    box = SealedBox(SealingKey(key.key.encode(), Base64Encoder))
    sealed = box.encrypt(value.encode(), Base64Encoder).decode()
    body = {"encrypted_value": sealed, "key_id": key.key_id}
    github.send("PUT", f"{path}/{name}", body)
