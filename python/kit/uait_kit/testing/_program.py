"""A service run as the program that it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import Any, Self

__all__ = ["Program"]

_READY_S = 20.0
_GONE_S = 20.0


class Program:
    """`python -m <module>` with a given environment; killed by its id when the test leaves it.

    Attributes:
        pid: The process id.
    """

    def __init__(self, module: str, **variables: str) -> None:
        """Starts it.

        Args:
            module: Such as `services.echo`.
            variables: Environment variables; those of this process that begin with UAIT_ or OTEL_ are not handed on.
        """
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("UAIT_", "OTEL_"))}
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], env=inherited | variables, stdout=subprocess.PIPE, stderr=self._stderr
        )
        self.pid = self._process.pid
        self._lines: list[dict[str, Any]] = []
        self._ready = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_line(self, msg: str) -> dict[str, Any]:
        """Returns the first line of the log with this `msg`, when it has come."""

        def found() -> dict[str, Any] | None:
            return next((line for line in self._lines if line["msg"] == msg), None)

        with self._ready:
            self._ready.wait_for(lambda: found() or not self._reader.is_alive(), timeout=_READY_S)
            line = found()
        assert line is not None, f"no line {msg!r} in {self._lines}; stderr: {self.errors()}"
        return line

    def signal(self, number: int) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def wait_exit(self) -> int:
        """Returns the exit code, when it has ended."""
        code = self._process.wait(timeout=_GONE_S)
        self._reader.join(timeout=_GONE_S)
        return code

    def errors(self) -> str:
        """Returns what it wrote to stderr."""
        self._stderr.seek(0)
        return self._stderr.read().decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(timeout=_GONE_S)
        self._stderr.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._ready:
                self._lines.append(json.loads(line))
                self._ready.notify_all()
        with self._ready:
            self._ready.notify_all()
