"""Signatures of versions: Ed25519 (RFC 8032) over DSSE's encoding of what is signed.

The private key is the secret SIGNING_KEY of the environment in which versions are registered. The
public ones stand in security/signers.txt, so whoever has the repository can verify; one that is
taken out vouches for nothing any more. https://github.com/secure-systems-lab/dsse
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatewright.errors import Refused
from gatewright.run_context import current

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY = "SIGNING_KEY"  # of the secret
SIGNERS = Path("security/signers.txt")
TYPE = "application/vnd.mlops.version+json"
_END = "-----END PUBLIC KEY-----"


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


def sign(root: Path, statement: dict[str, Any]) -> dict[str, str] | None:
    """The signature of plain data with the key at hand; None where there is no trusted key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = current().signing_key
    if not text:
        return None
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(
            f"The secret {KEY} holds no Ed25519 key, so the version cannot be signed. Make a new "
            "one with `uv run mlops github apply --yes`."
        )
    if _name(key.public_key()) not in signers(root):
        print(f"Not signed: {SIGNERS} does not hold the key of {KEY}; commit it.", file=sys.stderr)
        return None
    signature = base64.b64encode(key.sign(_encoded(statement))).decode()
    return {"key": _name(key.public_key()), "signature": signature}


def verify(root: Path, statement: dict[str, Any], signature: dict[str, str], what: str) -> None:
    """Raises Refused unless a key of security/signers.txt signed exactly this."""
    from cryptography.exceptions import InvalidSignature

    key = signers(root).get(signature.get("key", ""))
    if key is None:
        raise Refused(
            f"{what} is signed by a key that {SIGNERS} does not hold, so nobody vouches for it. "
            f"If the key is yours, restore it there: `git log {SIGNERS}`."
        )
    try:
        key.verify(base64.b64decode(signature.get("signature", "")), _encoded(statement))
    except (InvalidSignature, ValueError):
        raise Refused(
            f"{what} is not what was signed: its record was changed after it was registered. See "
            "who did with `git log refs/mlops/origin/registry`."
        ) from None


def signers(root: Path) -> dict[str, Ed25519PublicKey]:
    """The public keys that the project trusts, by name (sha256 of the raw key)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text = (root / SIGNERS).read_text(encoding="utf-8") if (root / SIGNERS).exists() else ""
    keys = {}
    for block in text.split(_END)[:-1]:
        pem = block[block.find("-----BEGIN") :] + _END
        try:
            key = load_pem_public_key(pem.encode())
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise Refused(f"{SIGNERS} holds what is no Ed25519 public key. Restore it with Git.")
        keys[_name(key)] = key
    return keys


def _encoded(statement: dict[str, Any]) -> bytes:
    """DSSE's pre-authentication encoding of the statement as JSON with sorted keys."""
    body = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    return b"DSSEv1 %d %b %d %b" % (len(TYPE), TYPE.encode(), len(body), body)


def _name(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()
