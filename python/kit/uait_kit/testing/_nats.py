"""A real NATS server with JetStream, which a test may kill and start again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["NatsServer"]

_READY_S = 15.0
_ROOT = Path(__file__).parents[4]


class NatsServer:
    """One server on a free port of loopback with its store in a folder of the test's.

    Attributes:
        url: For UAIT_NATS_URL; the same across restarts.
    """

    def __init__(self, folder: Path) -> None:
        """Chooses a port and writes the configuration; `start` starts it.

        Args:
            folder: Takes the store, the configuration and the log.
        """
        self._program = find_nats_server()
        self._port = _free_port()
        self._log = folder / "nats.log"
        self._config = folder / "nats.conf"
        # Without sync_interval: always, JetStream acknowledges what is not on disk yet.
        self._config.write_text(
            f'listen: 127.0.0.1:{self._port}\njetstream {{ store_dir: "{folder / "store"}", sync_interval: always }}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts the server and waits until it takes connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", self._config], stdout=log, stderr=log)
        ends_s = time.monotonic() + _READY_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, f"nats-server ended: {self._log.read_text()}"
                assert time.monotonic() < ends_s, f"nats-server is not ready: {self._log.read_text()}"
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """Kills the server as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stops the server in its tracks: its connections stay, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def find_nats_server() -> str:
    """Returns the path of nats-server: $UAIT_NATS_SERVER, `.uait/bin`, the Python environment, $PATH.

    Raises:
        FileNotFoundError: It is in none of these places.
    """
    named = os.environ.get("UAIT_NATS_SERVER")
    places = [named] if named else [str(_ROOT / ".uait/bin/nats-server"), str(Path(sys.prefix, "bin/nats-server"))]
    for place in places:
        if os.access(place, os.X_OK):
            return place
    found = None if named else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError(f"no nats-server at {', '.join(places)}; run `make up` or set UAIT_NATS_SERVER")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
