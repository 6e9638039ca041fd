"""A run of the cases against one target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf import json_format, message_factory
from google.protobuf.message import Message

from conformance.call import Answer, call, echo_method
from conformance.cases import Case, fill_in, unique_word
from conformance.failure import CaseFailed
from conformance.match import require, require_subset
from conformance.probes import PROBES, Wire
from conformance.renamed import renamed

__all__ = ["Session", "TlsPaths"]

_DEFAULT_DEADLINE_MS = 10_000
_DEFAULT_TENANT = "acme"
_DEFAULT_SERVICE = "echo-ts"
_DOMAIN = "uait.dev"

# Every limit under test is the server's.
_UNLIMITED = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class TlsPaths:
    """PEM files of the client."""

    certificate: Path
    key: Path
    authorities: Path

    def credentials(self) -> grpc.ChannelCredentials:
        """Returns credentials for mutual TLS."""
        return grpc.ssl_channel_credentials(
            self.authorities.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes()
        )


class Session:
    """Channels to the target and to the server, and the values that cases save for later ones."""

    def __init__(
        self,
        *,
        target: str,
        server: str,
        pid: int | None,
        service: str | None,
        tls: TlsPaths | None,
        api: str | None = None,
    ) -> None:
        """Opens nothing yet; channels connect at their first call.

        Args:
            target: host:port that is called.
            server: host:port of the server itself.
            pid: Process of the server; None where the drain case cannot be run.
            service: Sent as x-uait-service; None sends none.
            tls: For mutual TLS.
            api: Full name of the gRPC service to call, which has the RPCs and messages of EchoService, as a service
                made from the template has until its author replaces them; None calls EchoService itself.
        """
        opened = _open(target, tls)
        self._channel = renamed(opened, api) if api else opened
        self._server = opened if server == target else _open(server, tls)
        self._pid = pid
        self._routing = {"x-uait-service": service} if service else {}
        self._names = {"unique": unique_word(), "service": service or _DEFAULT_SERVICE}

    async def run(self, case: Case) -> None:
        """Runs one case.

        Raises:
            CaseFailed: The server did something else.
        """
        if "probe" in case:
            wire = Wire(self._channel, self._server, self._metadata({}), self._pid)
            await PROBES[case["probe"]](wire, case)
            return
        # The names are filled in first: a case that needs a value which none saved says so.
        filled = fill_in(dict(case), self._names)
        answer = await self._call(filled)
        _judge(filled.get("expect", {}), answer)
        for name, path in filled.get("save", {}).items():
            self._names[name] = _saved(answer, path)

    async def _call(self, case: Case) -> Answer:
        deadline_ms: int = case.get("deadline_ms", _DEFAULT_DEADLINE_MS)
        return await call(
            self._channel,
            case["call"],
            _requests(case),
            metadata=self._metadata(case.get("metadata", {})),
            timeout_s=deadline_ms / 1000,
            gzip=case.get("compress") == "gzip",
        )

    def _metadata(self, own: dict[str, str]) -> dict[str, str]:
        metadata = {"x-uait-tenant": _DEFAULT_TENANT, **self._routing, **own}
        return {key: value for key, value in metadata.items() if value}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self._channel.close()
        await self._server.close()


def _open(address: str, tls: TlsPaths | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(address, options=_UNLIMITED)
    return grpc.aio.secure_channel(address, tls.credentials(), options=_UNLIMITED)


def _requests(case: Case) -> list[Message]:
    message_type = message_factory.GetMessageClass(echo_method(case["call"]).input_type)
    requests: list[Message] = [json_format.ParseDict(each, message_type()) for each in case["send"]]
    for name, size in case.get("fill", {}).items():
        setattr(requests[0], name, bytes(size))
    repeat: int = case.get("repeat", 1)
    return requests * repeat


def _saved(answer: Answer, path: str) -> str:
    value: Any = answer.as_json(1)[0]
    for key in path.split("."):
        value = value[key]
    return str(value)


def _judge(expect: Case, answer: Answer) -> None:
    status = f"{answer.code} {answer.message}".strip()
    code = expect.get("code", "OK")
    require(answer.code == code, "code", code, status)
    if "message" in expect:
        require_subset("message", expect["message"], answer.message)
    _judge_details(expect, answer)
    _judge_responses(expect, answer)
    require_subset("trailers", expect.get("trailers", {}), answer.trailers)


def _judge_details(expect: Case, answer: Answer) -> None:
    if "reason" in expect or "metadata" in expect:
        info = answer.error_info()
        if info is None:
            raise CaseFailed.of("ErrorInfo", expect.get("reason"), None)
        require(info.domain == _DOMAIN, "ErrorInfo.domain", _DOMAIN, info.domain)
        if "reason" in expect:
            require_subset("ErrorInfo.reason", expect["reason"], info.reason)
        require_subset("ErrorInfo.metadata", expect.get("metadata", {}), dict(info.metadata))
    if "violations" in expect:
        violations = answer.violations()
        require(len(violations) == len(expect["violations"]), "violations", expect["violations"], violations)
        require_subset("violations", expect["violations"], violations)
    if "hides" in expect:
        text: str = expect["hides"]
        leaked = text in answer.message or text.encode() in answer.details
        require(not leaked, "status", f"no {text!r} in it", answer.message)


def _judge_responses(expect: Case, answer: Answer) -> None:
    if "responses" in expect or "count" in expect:
        responses = expect.get("responses", [])
        count = expect.get("count", len(responses))
        require(len(answer.responses) == count, "count of responses", count, len(answer.responses))
        require_subset("responses", responses, answer.as_json(len(responses)))
    for name, size in expect.get("bytes", {}).items():
        came = len(getattr(answer.first, name)) if answer.first is not None else None
        require(came == size, f"bytes of {name}", size, came)
