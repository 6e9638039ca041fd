"""Logs: one JSON object a line on stdout, with the trace in which it was written."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from uait_kit._call import find_call

__all__ = ["configure_logs", "log"]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NAMES = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn"}

_logger = logging.getLogger("uait")


def log(level: str, message: str, *, error: BaseException | None = None, **fields: object) -> None:
    """Writes one line.

    Args:
        level: debug, info, warn or error.
        message: What happened, a constant text; what varies goes into the fields.
        error: What caused it; its text and stack go into the fields `error` and `stack`.
        fields: Values that JSON can hold; anything else is written as its text.
    """
    number = _LEVELS[level]
    if _logger.isEnabledFor(number):
        _logger.log(number, message, exc_info=error, extra={"fields": fields})


def configure_logs(*, service: str, instance: str, level: str) -> None:
    """Sends all logs of the process, those of libraries too, to stdout as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service=service, instance=instance))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object without line breaks."""

    def __init__(self, *, service: str, instance: str) -> None:
        super().__init__()
        self._service = service
        self._instance = instance

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": _NAMES.get(record.levelno, "error"),
            "msg": record.getMessage(),
            "service": self._service,
            "instance": self._instance,
        }
        call = find_call()
        if call is not None and call.trace_id:
            line |= {"trace_id": call.trace_id, "span_id": call.span_id}
        if record.name != _logger.name:
            line["logger"] = record.name
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = repr(record.exc_info[1])
            line["stack"] = "".join(traceback.format_exception(record.exc_info[1]))
        return json.dumps(line, ensure_ascii=False, default=str)
