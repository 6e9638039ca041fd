"""What every Python service of the mesh does alike; CONTRIBUTING.md describes the behaviour.

A service reads its configuration (`Environment`, `KitConfig`), builds its handlers with a `Kit` and runs (`run`).
Handlers raise `StatusError` or errors of their own that their `Service.errors` maps to it; `current_call()` tells them
who calls and how much time is left; stubs on `Kit.mesh` call other services; `Kit.events` and `Kit.consume` are the
event log.
"""

from uait_kit._call import Call, current_call
from uait_kit._config import ConfigError, Environment, KitConfig, TlsFiles
from uait_kit._consume import Consumer, EventHandler
from uait_kit._dial import MeshChannel, dial, feed
from uait_kit._events import EventLog, Published
from uait_kit._idempotency import Idempotency
from uait_kit._identity import Identity
from uait_kit._load import LoadMeter, Utilisation
from uait_kit._log import configure_logs, log
from uait_kit._run import run
from uait_kit._serve import AddressInUse, Kit, Server, Service
from uait_kit._status import CODE_OF_REASON, ErrorMap, FieldsInvalid, FieldViolation, PassedOn, StatusError, status_of
from uait_kit._telemetry import Telemetry
from uait_kit._trace import Span, SpanKind
from uait_kit._validate import validate

__all__ = [
    "CODE_OF_REASON",
    "AddressInUse",
    "Call",
    "ConfigError",
    "Consumer",
    "Environment",
    "ErrorMap",
    "EventHandler",
    "EventLog",
    "FieldViolation",
    "FieldsInvalid",
    "Idempotency",
    "Identity",
    "Kit",
    "KitConfig",
    "LoadMeter",
    "MeshChannel",
    "PassedOn",
    "Published",
    "Server",
    "Service",
    "Span",
    "SpanKind",
    "StatusError",
    "Telemetry",
    "TlsFiles",
    "Utilisation",
    "configure_logs",
    "current_call",
    "dial",
    "feed",
    "log",
    "run",
    "status_of",
    "validate",
]
