"""A packed model, and a server of it."""

import functools
import http.server
import threading
from pathlib import Path

import pytest
from packed_models import pack_model


@pytest.fixture(scope="session")
def packed(tiny_model, tmp_path_factory) -> Path:
    return pack_model(tiny_model, tmp_path_factory.mktemp("packed") / "model.zip")


@pytest.fixture
def serve(monkeypatch):
    """Serve a folder on localhost; returns its URL."""
    servers = []
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    def start(folder: Path) -> str:
        handler = functools.partial(Handler, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
