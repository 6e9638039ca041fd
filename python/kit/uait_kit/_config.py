"""Settings of a process: read from the environment once, checked against their range, frozen."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["ConfigError", "Environment", "KitConfig", "TlsFiles"]

_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,62}")
_INSTANCE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_HTTP_PORT_OFFSET = 10_000
_MAX_PORT = 65_535


class ConfigError(Exception):
    """A variable of the environment has a value outside its range.

    Attributes:
        variable: Name of the variable.
        value: The value refused.
        requirement: The range, as it reads after "must be".
    """

    def __init__(self, variable: str, value: str, requirement: str) -> None:
        super().__init__(f"{variable}={value}: must be {requirement}")
        self.variable = variable
        self.value = value
        self.requirement = requirement


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM of one identity, for serving and for dialling."""

    certificate: bytes
    key: bytes
    authorities: bytes


class Environment:
    """Typed reads of environment variables; each refuses a value outside its range with ConfigError.

    An unset variable takes its default; an empty one is a value like any other.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables

    def text(self, name: str, *, default: str, accept: Callable[[str], object], requirement: str) -> str:
        """Returns a text that `accept` finds true."""
        value = self._variables.get(name, default)
        if not accept(value):
            raise ConfigError(name, value, requirement)
        return value

    def integer(self, name: str, *, default: int, low: int, high: int) -> int:
        """Returns a decimal integer of [low, high]."""
        value = self._variables.get(name)
        if value is None:
            return default
        if not _INTEGER.fullmatch(value) or not low <= int(value) <= high:
            raise ConfigError(name, value, f"an integer from {low} to {high}")
        return int(value)

    def number(self, name: str, *, default: float, low: float, high: float) -> float:
        """Returns a finite number of [low, high]."""
        value = self._variables.get(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ConfigError(name, value, f"a number from {low:g} to {high:g}")
        return number

    def choice(self, name: str, *, default: str, choices: tuple[str, ...]) -> str:
        """Returns one of `choices`."""
        return self.text(
            name, default=default, accept=lambda value: value in choices, requirement=f"one of {', '.join(choices)}"
        )

    def file(self, name: str, requirement: str) -> bytes | None:
        """Returns the content of the PEM file whose path the variable holds; None when it is unset."""
        path = self._variables.get(name)
        if path is None:
            return None
        try:
            content = Path(path).read_bytes()
        except OSError:
            content = b""
        if b"-----BEGIN " not in content:
            raise ConfigError(name, path, requirement)
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class KitConfig:
    """The settings that every service has; CONTRIBUTING.md has the table with ranges and meanings.

    Attributes:
        service: Catalogue name.
        instance: Unique among the processes of the mesh.
        host: IP address to listen on.
        port: gRPC port; 0 takes a free one.
        http_port: Port of /metrics and /healthz; 0 takes a free one.
        mesh: host:port of Envoy's mesh listener.
        nats_url: URL of NATS; None when the event log is off.
        lease: Whether to join the balancer's endpoints.
        zone: Locality of the endpoint; empty for none.
        log_level: debug, info, warn or error.
        drain_delay_s: Time between NOT_SERVING and GOAWAY.
        drain_timeout_s: Time that calls in flight have after GOAWAY.
        max_message_bytes: Largest message received or sent.
        max_streams: Concurrent streams of one connection.
        max_inflight: Calls in flight of the process.
        deadline_s: Deadline of an outgoing unary call where none is set.
        tls: Mutual TLS; None for plain text.
        otlp_endpoint: URL of the trace collector, OTLP over gRPC.
        otel_disabled: Record no spans, forward trace context only.
        sampler_ratio: Share of root traces sampled, 0 to 1.
    """

    service: str
    instance: str
    host: str
    port: int
    http_port: int
    mesh: str
    nats_url: str | None
    lease: bool
    zone: str
    log_level: str
    drain_delay_s: float
    drain_timeout_s: float
    max_message_bytes: int
    max_streams: int
    max_inflight: int
    deadline_s: float
    tls: TlsFiles | None
    otlp_endpoint: str
    otel_disabled: bool
    sampler_ratio: float

    @classmethod
    def read(cls, env: Environment, *, service: str, port: int) -> KitConfig:
        """Reads the whole of it.

        Args:
            env: Where to read.
            service: The service's catalogue name.
            port: The service's catalogue port.

        Raises:
            ConfigError: A value is outside its range.
        """
        service = env.text(
            "UAIT_SERVICE", default=service, accept=_SERVICE.fullmatch, requirement="[a-z][a-z0-9-]{0,62}"
        )
        port = env.integer("UAIT_PORT", default=port, low=0, high=_MAX_PORT)
        nats_url = env.text(
            "UAIT_NATS_URL",
            default="nats://127.0.0.1:4222",
            accept=lambda value: value == "off" or _is_url(value, schemes=("nats",), port_required=True),
            requirement="nats://host:port or off",
        )
        return cls(
            service=service,
            instance=env.text(
                "UAIT_INSTANCE",
                default=f"{service}-{os.getpid()}",
                accept=_INSTANCE.fullmatch,
                requirement="1 to 128 of [A-Za-z0-9._-]",
            ),
            host=env.text("UAIT_HOST", default="127.0.0.1", accept=_is_ip, requirement="an IP address"),
            port=port,
            http_port=env.integer("UAIT_HTTP_PORT", default=_http_port(port), low=0, high=_MAX_PORT),
            mesh=env.text("UAIT_MESH", default="127.0.0.1:10001", accept=_is_address, requirement="host:port"),
            nats_url=None if nats_url == "off" else nats_url,
            lease=env.choice("UAIT_LEASE", default="on", choices=("on", "off")) == "on",
            zone=env.text(
                "UAIT_ZONE", default="", accept=lambda value: len(value) <= 64, requirement="at most 64 characters"
            ),
            log_level=env.choice("UAIT_LOG_LEVEL", default="info", choices=("debug", "info", "warn", "error")),
            drain_delay_s=env.integer("UAIT_DRAIN_DELAY_MS", default=1_000, low=0, high=60_000) / 1000,
            drain_timeout_s=env.integer("UAIT_DRAIN_TIMEOUT_MS", default=10_000, low=0, high=600_000) / 1000,
            max_message_bytes=env.integer("UAIT_MAX_MESSAGE_BYTES", default=4_194_304, low=1_024, high=268_435_456),
            max_streams=env.integer("UAIT_MAX_STREAMS", default=4_096, low=1, high=65_536),
            max_inflight=env.integer("UAIT_MAX_INFLIGHT", default=4_096, low=1, high=65_536),
            deadline_s=env.integer("UAIT_DEADLINE_MS", default=30_000, low=1, high=3_600_000) / 1000,
            tls=_read_tls(env),
            otlp_endpoint=env.text(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                default="http://127.0.0.1:4317",
                accept=lambda value: _is_url(value, schemes=("http", "https"), port_required=False),
                requirement="a URL such as http://127.0.0.1:4317",
            ),
            otel_disabled=env.choice("OTEL_SDK_DISABLED", default="false", choices=("true", "false")) == "true",
            sampler_ratio=env.number("OTEL_TRACES_SAMPLER_ARG", default=1.0, low=0.0, high=1.0),
        )


def _read_tls(env: Environment) -> TlsFiles | None:
    names = ("UAIT_TLS_CERT", "UAIT_TLS_KEY", "UAIT_TLS_CA")
    requirement = f"the path of a readable PEM file, {', '.join(names)} all three set or none"
    files = {name: env.file(name, requirement) for name in names}
    if all(content is None for content in files.values()):
        return None
    certificate, key, authorities = files.values()
    if certificate is None or key is None or authorities is None:
        missing = next(name for name, content in files.items() if content is None)
        raise ConfigError(missing, "", requirement)
    return TlsFiles(certificate, key, authorities)


def _http_port(port: int) -> int:
    """Returns the default of UAIT_HTTP_PORT: a free one (0) where the gRPC port is a free one or leaves no room."""
    http_port = port + _HTTP_PORT_OFFSET
    return http_port if port and http_port <= _MAX_PORT else 0


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_address(value: str) -> bool:
    host, _, port = value.rpartition(":")
    return bool(host) and not any(c.isspace() or c in "/@" for c in host) and _is_port(port)


def _is_port(value: str) -> bool:
    return value.isascii() and value.isdigit() and 1 <= int(value) <= _MAX_PORT


def _is_url(value: str, *, schemes: tuple[str, ...], port_required: bool) -> bool:
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        return False
    return url.scheme in schemes and bool(url.hostname) and port != 0 and (port is not None or not port_required)
