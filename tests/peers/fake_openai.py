"""A small OpenAI server on the loopback interface: chat, streamed chat, tool calls, embeddings, 404."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

DIMENSIONS = 1536
VECTOR = [round((index - 700) / 7919, 9) for index in range(DIMENSIONS)]
USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
WORDS = ["It ", "is ", "21 ", "°C."]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["model"] == "missing":
            self._answer(404, {"error": {"message": "no model 'missing'", "code": "model_not_found"}})
        elif self.path == "/v1/embeddings":
            self._answer(200, _embeddings(asked))
        elif asked.get("stream"):
            self._stream(asked)
        else:
            self._answer(200, _completion(asked, message=_message(asked)))

    def _answer(self, status: int, content: Any) -> None:
        self._send(status, "application/json", json.dumps(content).encode())

    def _stream(self, asked: dict[str, Any]) -> None:
        deltas = _deltas(_message(asked))
        chunks = [_completion(asked, delta={"role": "assistant", **delta}) for delta in deltas]
        chunks.append(_completion(asked, delta={}, finish_reason="tool_calls" if _calls(asked) else "stop"))
        chunks.append({**_completion(asked), "choices": [], "usage": USAGE})
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        self._send(200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nobody reads it."""


def _calls(asked: dict[str, Any]) -> bool:
    return "tools" in asked and asked["messages"][-1]["role"] != "tool"


def _message(asked: dict[str, Any]) -> dict[str, Any]:
    """A tool call while there are tools and no answer of one, else text."""
    if _calls(asked):
        function = {"name": asked["tools"][0]["function"]["name"], "arguments": '{"city":"Oslo"}'}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call-1", "type": "function", "function": function}],
        }
    return {"role": "assistant", "content": "".join(WORDS)}


def _deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A message in pieces."""
    calls = message.get("tool_calls")
    return [{"tool_calls": [{"index": 0, **calls[0]}]}] if calls else [{"content": word} for word in WORDS]


def _completion(asked: dict[str, Any], **choice: Any) -> dict[str, Any]:
    streamed = bool(asked.get("stream"))
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk" if streamed else "chat.completion",
        "created": 1700000000,
        "model": asked["model"],
        "choices": [{"index": 0, "finish_reason": None if streamed else "stop", **choice}],
        "usage": None if streamed else USAGE,
    }


def _embeddings(asked: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    data = [{"object": "embedding", "index": 0, "embedding": VECTOR}]
    return {"object": "list", "model": asked["model"], "data": data, "usage": usage}


@contextmanager
def fake_openai() -> Iterator[str]:
    """Serve; gives the base URL for a client."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
