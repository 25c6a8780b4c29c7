"""yaml-language-server over its standard streams: what an editor sends, and what it shows."""

from __future__ import annotations

import json
import select
import subprocess
import time
from typing import TYPE_CHECKING, Any

from tests.others import node_module, other_program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

PATIENCE = 60.0
CURSOR = "‸"
"""Where the cursor is in a text."""


class LanguageServer:
    """A server that runs until the end of the `with` block; a document belongs to a folder in which its schema is."""

    def __init__(self, folder: Path) -> None:
        command = [other_program("node"), str(node_module("yaml-language-server/bin/yaml-language-server")), "--stdio"]
        self.folder = folder
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        self._number = 0
        self._buffer = b""
        self._told: dict[str, list[dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        workspace = {"uri": self.folder.as_uri(), "name": "workspace"}
        documents = {
            "completion": {"completionItem": {"documentationFormat": ["markdown"], "snippetSupport": True}},
            "hover": {"contentFormat": ["markdown"]},
        }
        self._ask(
            "initialize",
            processId=None,
            rootUri=self.folder.as_uri(),
            workspaceFolders=[workspace],
            capabilities={"textDocument": documents, "workspace": {"configuration": True, "workspaceFolders": True}},
        )
        self._send("initialized", {})
        self._send("workspace/didChangeConfiguration", {"settings": _SETTINGS})
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def errors(self, text: str) -> list[str]:
        """The messages that it shows in a text, each with its line, from 1, and the part of the line."""
        self._number += 1
        return self.errors_of(self.folder / f"{self._number}" / "campaign.yaml", text)

    def errors_of(self, path: Path, text: str) -> list[str]:
        """Those of a text that stands for the file of that path."""
        return self.errors_of_all({path: text})[path]

    def errors_of_all(self, texts: Mapping[Path, str]) -> dict[Path, list[str]]:
        """Those of many files at once: the server waits a little before it looks at one."""
        for path, text in texts.items():
            self._open(path, text)
        end = time.monotonic() + PATIENCE
        while not all(path.as_uri() in self._told for path in texts):
            self._receive(end)
        for path in texts:
            self._send("textDocument/didClose", {"textDocument": {"uri": path.as_uri()}})
        return {
            path: [_shown(each, text.splitlines()) for each in self._told.pop(path.as_uri())]
            for path, text in texts.items()
        }

    def completions(self, text: str) -> dict[str, str]:
        """What it offers at the cursor, with the description of each."""
        answer = self._at("textDocument/completion", text)
        items = answer["items"] if isinstance(answer, dict) else answer or []
        return {each["label"]: _plain(each.get("documentation", "")) for each in items}

    def insertions(self, text: str) -> dict[str, str]:
        """The text that each offer inserts."""
        answer = self._at("textDocument/completion", text)
        items = answer["items"] if isinstance(answer, dict) else answer or []
        return {each["label"]: each.get("textEdit", {}).get("newText", each.get("insertText")) for each in items}

    def hover(self, text: str) -> str:
        answer = self._at("textDocument/hover", text)
        return _plain(answer["contents"]) if answer else ""

    def _at(self, method: str, text: str) -> Any:
        before = text.partition(CURSOR)[0]
        self._number += 1
        uri = self._open(self.folder / f"{self._number}" / "campaign.yaml", text.replace(CURSOR, ""))
        position = {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
        return self._ask(method, textDocument={"uri": uri}, position=position)

    def _open(self, path: Path, text: str) -> str:
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._send("textDocument/didOpen", {"textDocument": document})
        return path.as_uri()

    # --- the protocol

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        number = self._number
        self._write({"id": number, "method": method, "params": parameters})
        end = time.monotonic() + PATIENCE
        while True:
            message = self._receive(end)
            if message.get("id") == number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def _send(self, method: str, parameters: Any) -> None:
        self._write({"method": method, "params": parameters})

    def _write(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def _receive(self, end: float) -> dict[str, Any]:
        """The next message; what the server asks is answered, and the diagnostics of a document are kept."""
        head = self._read_until(b"\r\n\r\n", end)
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-len")
        )
        while len(self._buffer) < length:
            self._fill(end)
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        message: dict[str, Any] = json.loads(body)
        if message.get("method") == "textDocument/publishDiagnostics":
            self._told[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "method" in message and "id" in message:
            self._write({"id": message["id"], "result": self._answer(message)})
        return message

    def _answer(self, message: dict[str, Any]) -> Any:
        if message["method"] != "workspace/configuration":
            return None
        return [_SETTINGS.get(item.get("section", "")) for item in message["params"]["items"]]

    def _read_until(self, mark: bytes, end: float) -> bytes:
        while mark not in self._buffer:
            self._fill(end)
        head, _, self._buffer = self._buffer.partition(mark)
        return head

    def _fill(self, end: float) -> None:
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))[0]
        assert ready, "the language server does not answer"
        data = self._process.stdout.read(65536)
        assert data, "the language server has ended"
        self._buffer += data


_SETTINGS: dict[str, Any] = {
    "yaml": {
        "validate": True,
        "hover": True,
        "completion": True,
        "schemaStore": {"enable": False},
        "schemas": {},
    },
    "http": {"proxy": "", "proxyStrictSSL": True},
}


def _plain(documentation: Any) -> str:
    return str(documentation["value"] if isinstance(documentation, dict) else documentation)


def _shown(diagnostic: dict[str, Any], lines: list[str]) -> str:
    start, end = diagnostic["range"]["start"], diagnostic["range"]["end"]
    line = lines[start["line"]] if start["line"] < len(lines) else ""
    last = end["character"] if end["line"] == start["line"] else len(line)
    return f"{start['line'] + 1}: {line[start['character'] : last]}: {diagnostic['message']}"
