"""Signatures of versions and of trainings: Ed25519 (RFC 8032) over DSSE's encoding of a statement.

A private key is a secret of one environment on GitHub. The public ones stand in a file of the
project, so whoever has the repository can verify; one that is taken out vouches for nothing any
more. What one role signed says nothing in another. https://github.com/secure-systems-lab/dsse
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatewright.errors import Refused
from gatewright.run_context import current

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY = "SIGNING_KEY"  # of the secret
SIGNERS = Path("security/signers.txt")
_END = "-----END PUBLIC KEY-----"


@dataclass(frozen=True)
class Role:
    """What a key may sign: its secret, the file of its public halves, and the type by DSSE.

    `changed` says what it means that a signature does not fit.
    """

    secret: str
    file: Path
    type: str
    changed: str


VERSIONS = Role(
    *(KEY, SIGNERS, "application/vnd.mlops.version+json"),
    "its record was changed after it was registered. See who did with `git log "
    "refs/mlops/origin/registry`.",
)
TRAININGS = Role(
    *("TRAINING_KEY", Path("security/trainers.txt"), "application/vnd.mlops.training+json"),
    "it was changed after it was signed. Train the branch again: `mlops explain reproduce`.",
)


def make_signing_key() -> tuple[str, str]:
    """A fresh key: (private, public), both PEM."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(
        form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public.decode()


def sign(root: Path, statement: dict[str, Any], role: Role = VERSIONS) -> dict[str, str] | None:
    """The signature of plain data with the key at hand; None where there is no trusted key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = current().training_key if role is TRAININGS else current().signing_key
    if not text:
        return None
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(
            f"The secret {role.secret} holds no Ed25519 key, so nothing can be signed. Make a new "
            "one with `uv run mlops github apply --yes`."
        )
    if _name(key.public_key()) not in signers(root, role):
        words = f"{role.file} does not hold the key of {role.secret}; commit it."
        print(f"Not signed: {words}", file=sys.stderr)
        return None
    signature = base64.b64encode(key.sign(_encoded(statement, role))).decode()
    return {"key": _name(key.public_key()), "signature": signature}


def verify(
    root: Path,
    statement: dict[str, Any],
    signature: dict[str, str],
    what: str,
    role: Role = VERSIONS,
) -> None:
    """Raises Refused unless a key of the role's file signed exactly this."""
    from cryptography.exceptions import InvalidSignature

    key = signers(root, role).get(signature.get("key", ""))
    if key is None:
        raise Refused(
            f"{what} is signed by a key that {role.file} does not hold, so nobody vouches for it. "
            f"If the key is yours, restore it there: `git log {role.file}`."
        )
    try:
        key.verify(base64.b64decode(signature.get("signature", "")), _encoded(statement, role))
    except (InvalidSignature, ValueError):
        raise Refused(f"{what} is not what was signed: {role.changed}") from None


def signers(root: Path, role: Role = VERSIONS) -> dict[str, Ed25519PublicKey]:
    """The public keys that the project trusts, by name (sha256 of the raw key)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    path = root / role.file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    keys = {}
    for block in text.split(_END)[:-1]:
        pem = block[block.find("-----BEGIN") :] + _END
        try:
            key = load_pem_public_key(pem.encode())
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise Refused(f"{role.file} holds what is no Ed25519 public key. Restore it with Git.")
        keys[_name(key)] = key
    return keys


def _encoded(statement: dict[str, Any], role: Role) -> bytes:
    """DSSE's pre-authentication encoding of the statement as JSON with sorted keys."""
    body = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    return b"DSSEv1 %d %b %d %b" % (len(role.type), role.type.encode(), len(body), body)


def _name(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()
