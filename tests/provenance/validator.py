"""rocrate-validator without a network: its command, with the two JSON-LD contexts of a crate from files.

`python validator.py CRATE SEVERITY`, in the environment of the other programs; prints one JSON object per issue.
"""

from __future__ import annotations

import io
import json
import sys
import urllib.request
from email.message import Message
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.response import addinfourl

import requests
import requests.adapters
import urllib3

ASSETS = Path(__file__).parent / "assets"
CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": "ro-crate-1.1.jsonld",
    "https://w3id.org/ro/terms/workflow-run/context": "workflow-run.jsonld",
}


def answer(adapter: requests.adapters.HTTPAdapter, request: requests.PreparedRequest, **_: Any) -> requests.Response:
    url = str(request.url)
    name = CONTEXTS.get(url.split("#", maxsplit=1)[0])
    body = b"" if name is None else (ASSETS / name).read_bytes()
    raw = urllib3.HTTPResponse(
        io.BytesIO(body), {"Content-Type": "application/ld+json"}, 404 if name is None else 200, preload_content=False,
        request_url=url,
    )  # fmt: skip
    return adapter.build_response(request, raw)


class Opener(urllib.request.HTTPSHandler):
    """The same for urllib, which the validator's parser of JSON-LD uses."""

    def https_open(self, request: urllib.request.Request) -> Any:
        url = request.full_url.split("#")[0]
        data = (ASSETS / CONTEXTS[url]).read_bytes()
        headers = Message()
        headers["Content-Type"] = "application/ld+json"
        found = addinfourl(io.BytesIO(data), headers, url, 200)
        found.msg = "OK"  # type: ignore[attr-defined]
        return found


def main() -> None:
    urllib.request.install_opener(urllib.request.build_opener(Opener))
    vars(requests.adapters)["HTTPAdapter"].send = answer
    models, services = (import_module(f"rocrate_validator.{name}") for name in ("models", "services"))
    settings = services.ValidationSettings(
        rocrate_uri=sys.argv[1],
        profile_identifier="provenance-run-crate-0.5",
        requirement_severity=models.Severity[sys.argv[2]],
    )
    result = services.validate(settings)
    for issue in result.get_issues():
        entry = {"check": issue.check.identifier, "severity": issue.severity.name, "message": issue.message}
        sys.stdout.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    main()
