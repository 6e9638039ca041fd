from __future__ import annotations

from pathlib import Path

import pytest

from uait_kit import ConfigError, Environment, KitConfig


def read(**variables: str) -> KitConfig:
    return KitConfig.read(Environment(variables), service="echo-python", port=8004)


def test_environment_empty_takes_the_documented_defaults() -> None:
    config = read()
    assert (config.service, config.host, config.port, config.http_port) == ("echo-python", "127.0.0.1", 8004, 18004)
    assert (config.mesh, config.nats_url, config.lease) == ("127.0.0.1:10001", "nats://127.0.0.1:4222", True)
    assert (config.zone, config.log_level) == ("", "info")
    assert (config.drain_delay_s, config.drain_timeout_s, config.deadline_s) == (1.0, 10.0, 30.0)
    assert (config.max_message_bytes, config.max_streams, config.max_inflight) == (4_194_304, 4_096, 4_096)
    assert (config.otlp_endpoint, config.otel_disabled, config.sampler_ratio) == ("http://127.0.0.1:4317", False, 1.0)
    assert config.tls is None
    assert config.instance.startswith("echo-python-")


@pytest.mark.parametrize(
    ("port", "http_port"), [("0", 0), ("8004", 18_004), ("55535", 65_535), ("55536", 0), ("65535", 0)]
)
def test_http_port_unset_follows_the_grpc_port_where_it_fits(port: str, http_port: int) -> None:
    assert read(UAIT_PORT=port).http_port == http_port


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("UAIT_SERVICE", "Echo"),
        ("UAIT_SERVICE", ""),
        ("UAIT_SERVICE", "a" * 64),
        ("UAIT_INSTANCE", ""),
        ("UAIT_INSTANCE", "a b"),
        ("UAIT_INSTANCE", "a" * 129),
        ("UAIT_HOST", "localhost"),
        ("UAIT_HOST", "127.0.0.1.1"),
        ("UAIT_PORT", "-1"),
        ("UAIT_PORT", "65536"),
        ("UAIT_PORT", "8004x"),
        ("UAIT_PORT", " 8004"),
        ("UAIT_PORT", ""),
        ("UAIT_PORT", "٨"),
        ("UAIT_HTTP_PORT", "65536"),
        ("UAIT_MESH", "localhost"),
        ("UAIT_MESH", ":10001"),
        ("UAIT_MESH", "localhost:0"),
        ("UAIT_MESH", "http://localhost:10001"),
        ("UAIT_NATS_URL", "http://127.0.0.1:4222"),
        ("UAIT_NATS_URL", "nats://127.0.0.1"),
        ("UAIT_NATS_URL", "on"),
        ("UAIT_LEASE", "yes"),
        ("UAIT_ZONE", "z" * 65),
        ("UAIT_LOG_LEVEL", "trace"),
        ("UAIT_DRAIN_DELAY_MS", "60001"),
        ("UAIT_DRAIN_TIMEOUT_MS", "600001"),
        ("UAIT_MAX_MESSAGE_BYTES", "1023"),
        ("UAIT_MAX_MESSAGE_BYTES", "268435457"),
        ("UAIT_MAX_STREAMS", "0"),
        ("UAIT_MAX_INFLIGHT", "65537"),
        ("UAIT_DEADLINE_MS", "0"),
        ("UAIT_DEADLINE_MS", "3600001"),
        ("UAIT_DEADLINE_MS", "1.5"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317"),
        ("OTEL_SDK_DISABLED", "1"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.01"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_TRACES_SAMPLER_ARG", "half"),
    ],
)
def test_value_outside_its_range_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(**{variable: value})
    assert str(refused.value).startswith(f"{variable}={value}: must be ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("UAIT_HOST", "::1"),
        ("UAIT_MESH", "[::1]:10001"),
        ("UAIT_NATS_URL", "off"),
        ("UAIT_ZONE", "z" * 64),
        ("UAIT_DRAIN_DELAY_MS", "0"),
        ("UAIT_MAX_MESSAGE_BYTES", "268435456"),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ],
)
def test_value_at_the_edge_of_its_range_is_taken(variable: str, value: str) -> None:
    read(**{variable: value})


def test_tls_given_in_part_is_refused_by_what_is_missing(tmp_path: Path) -> None:
    pem = tmp_path / "a.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(ConfigError, match=r"^UAIT_TLS_KEY=: must be the path"):
        read(UAIT_TLS_CERT=str(pem), UAIT_TLS_CA=str(pem))


def test_tls_file_that_cannot_be_read_is_refused_by_its_path(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(ConfigError, match=r"^UAIT_TLS_CERT=.*missing\.pem: must be the path"):
        read(UAIT_TLS_CERT=missing, UAIT_TLS_KEY=missing, UAIT_TLS_CA=missing)
