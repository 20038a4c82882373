"""The OpenID provider `oidc-provider`, in memory, as a peer that somebody else has written."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx

from tests.needs import missing

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / ".cache" / "oidc-provider" / "node_modules"
PEOPLE = {
    "anna": ["condyle-administrators", "condyle-patients"],
    "otto": ["condyle-operators", "condyle-viewers"],
    "vera": ["condyle-viewers"],
    "stranger": ["kitchen"],
}


@contextmanager
def provider(
    folder: Path,
    port: int,
    url: str,
    *,
    secret: str | None = None,
    people: Mapping[str, Sequence[str]] = PEOPLE,
    in_id_token: bool = False,
) -> Iterator[str]:
    """The issuer of a provider with keys of its own, which knows one client, ``condyle``.

    Parameters
    ----------
    folder
        For its program.
    port
        A free one.
    url
        Of the client's page.
    secret
        Of the client; None: it has none.
    people
        Everybody's roles, by name; any password is right.
    in_id_token
        Whether roles stand in the ID token, and not only in what the userinfo endpoint answers.
    """
    program = shutil.which("node") or missing("Node.js is not installed")
    if not PACKAGES.is_dir():
        missing("oidc-provider is not in .cache: `make test` fetches it where npm is installed")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(PACKAGES)
    shutil.copy(HERE / "server.mjs", folder)
    client = {
        "client_id": "condyle",
        "redirect_uris": [f"{url}/sign-in/openid/back"],
        "post_logout_redirect_uris": [f"{url}/sign-in"],
        "token_endpoint_auth_method": "none" if secret is None else "client_secret_basic",
        **({} if secret is None else {"client_secret": secret}),
    }
    options = {"port": port, "clients": [client], "people": people, "inIdToken": in_id_token}
    with (folder / "provider.log").open("ab") as log:
        process = subprocess.Popen(
            [program, "server.mjs", json.dumps(options)], cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(port), (folder / "provider.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def signed_in_at(client: httpx.Client, url: str, name: str) -> str:
    """The address that the provider sends the browser back to, once somebody has signed in there and agreed."""
    answer = client.get(url)
    for _ in range(10):
        if answer.is_redirect:
            url = urljoin(str(answer.url), answer.headers["location"])
            if "/sign-in/openid/back" in url:
                return url
            answer = client.get(url)
            continue
        action = answer.text.partition('action="')[2].partition('"')[0]
        prompt = answer.text.partition('name="prompt" value="')[2].partition('"')[0]
        assert prompt, answer.text
        form = {"prompt": prompt, "login": name, "password": "any"}
        answer = client.post(urljoin(str(answer.url), action), data=form)
    raise AssertionError(f"the provider does not send {name} back: {answer.status_code} {answer.text[:500]}")
