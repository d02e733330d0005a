"""The token of a GitHub App, where one takes the place of the deploy key.

An App's pushes and pull requests start workflows, which those of a job's own token do not; and an
organisation that forbids deploy keys may have one. Its private key is a secret of environments
(APP_KEY) and signs one short request (RS256), whose answer is a token for this repository alone.
https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from dataclasses import replace

from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import AppToken, Made
from gatewright.errors import Refused
from gatewright.run_context import current

LASTS = 300  # seconds that the signed request is good for
DRIFT = 60  # seconds that our clock may be ahead of GitHub's


def as_app(github: GitHub) -> GitHub:
    """The same repository, asked as the App; as it was where the job has none."""
    run = current()
    if not (run.app_id and run.app_key):
        return github
    asking = replace(github, token=_signed(run.app_id, run.app_key))
    number = asking.get("installation", Made).id
    body = {"repositories": [github.name]}
    made = asking.make("POST", f"/app/installations/{number}/access_tokens", body, AppToken)
    return replace(github, token=made.token)


def _signed(app: str, key: str) -> str:
    """A JSON Web Token by which the App says who it is (RFC 7519)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key.encode(), None)
    except ValueError:
        private = None
    if not isinstance(private, RSAPrivateKey):
        raise Refused(
            "The secret APP_KEY holds no RSA key as GitHub makes them for Apps, so the registry "
            "stays closed. Generate one on the App's page and store all of the file."
        )
    now = int(time.time())
    parts = {"alg": "RS256", "typ": "JWT"}, {"iat": now - DRIFT, "exp": now + LASTS, "iss": app}
    text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_encoded(private.sign(text.encode(), PKCS1v15(), hashes.SHA256()))}"


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
