"""make bench-inference: how fast ml-inference writes over gRPC, against llama.cpp itself, in one run, by turns.

Usage: inference.py [--rounds N] [--tokens N] [--threads N] [--peer PYTHON]; prints Markdown.
PYTHON is an interpreter that has xllamacpp.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc.aio

from uait.ml_inference.v1 import ml_inference_pb2, ml_inference_pb2_grpc
from uait.types.v1 import generation_pb2

ROOT = Path(__file__).resolve().parents[2]
MODEL = "smollm2-135m-instruct"
PROMPT = "Once upon a time, in a small village by the sea, there lived an old fisherman who " * 8
BARE = "llama.cpp, bare calls, same build"
OVER_GRPC = "ml-inference over gRPC"
HELD = "ml-inference over gRPC, held to a grammar"
SERVER = "llama.cpp's server (xllamacpp)"
MANY = "ml-inference over gRPC, 8 texts at once, together"
Stub = ml_inference_pb2_grpc.InferenceServiceStub
CPU = " cpu"
Note = Callable[[str, float], None]
TENANT = (("x-uait-tenant", "bench"),)
# No sentence of it ends, so that every text has the length that was asked for; it lets every character through.
ENDLESS = "root ::= [^\\x00] root"


class Lines:
    """A program that answers each line of its stdin with one of JSON."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | environment,
        )

        self.pid = self._process.pid

    def ask(self, line: str | None) -> dict[str, float]:
        """Sends a line, and waits for the answer; None only waits."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if line is not None:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        while answer := self._process.stdout.readline():
            if answer.startswith("{"):
                found: dict[str, float] = json.loads(answer)
                return found
        raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")

    def end(self) -> None:
        """Closes its stdin, and waits."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Service:
    """The built service, on free ports."""

    def __init__(self, threads: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        environment = {
            "UAIT_PORT": str(port),
            "UAIT_HTTP_PORT": "0",
            "UAIT_NATS_URL": "off",
            "UAIT_LEASE": "off",
            "OTEL_SDK_DISABLED": "true",
            "UAIT_MODELS": str(models()),
            "UAIT_DRAIN_DELAY_MS": "0",
            "UAIT_INFERENCE_THREADS": str(threads),
            "UAIT_INFERENCE_BATCH_THREADS": str(threads),
            "UAIT_INFERENCE_SLOTS": "8",
        }
        self._process = subprocess.Popen(
            [ROOT / ".uait/build/ml-inference"], stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        while '"serving"' not in (line := self._process.stdout.readline()):
            if not line:
                raise RuntimeError(f"the service ended with {self._process.wait()}")

    def resident_mib(self) -> float:
        """Memory in RAM, MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def end(self) -> None:
        """Stops it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


def models() -> Path:
    """The folder of models."""
    return Path(os.environ.get("UAIT_MODELS", ROOT / ".uait/models"))


class Written:
    """A text as a caller hears it: moments of its pieces with their tokens, and the length of its prompt."""

    def __init__(self) -> None:
        self.pieces: list[tuple[float, int]] = []
        self.input_tokens = 0

    def tokens(self, since: float, until: float) -> int:
        """Tokens that came after one moment, until another."""
        return sum(tokens for moment, tokens in self.pieces if since < moment <= until)


async def written(stub: Stub, prompt: str, tokens: int, *, constrained: bool) -> Written:
    """Has a text written."""
    constraint = generation_pb2.OutputConstraint(grammar=ENDLESS) if constrained else None
    request = ml_inference_pb2.GenerateRequest(
        prompt=prompt,
        sampling=generation_pb2.Sampling(temperature=0, seed=1, max_output_tokens=tokens),
        constraint=constraint,
    )
    text = Written()
    async for response in stub.Generate(request, metadata=TENANT):
        if response.HasField("start"):
            text.input_tokens = response.start.input_tokens
        if response.HasField("delta"):
            text.pieces.append((time.perf_counter(), response.delta.tokens))
    return text


async def together(stub: Stub, tokens: int, callers: int, *, constrained: bool) -> float:
    """Tokens a second of texts at once, while all of them are written."""
    prompts = [PROMPT if callers == 1 else f"{n} {PROMPT}" for n in range(callers)]
    texts = await asyncio.gather(*(written(stub, prompt, tokens, constrained=constrained) for prompt in prompts))
    begun = max(text.pieces[0][0] for text in texts)
    ended = min(text.pieces[-1][0] for text in texts)
    return sum(text.tokens(begun, ended) for text in texts) / (ended - begun)


def figure(values: list[float]) -> str:
    """Median with the least and the most."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def report(chosen: argparse.Namespace, found: dict[str, list[float]], resident_mib: tuple[float, float]) -> None:
    """Prints what was found."""
    print("# make bench-inference\n")
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    print(f"machine: {os.cpu_count()} x {cpu.split(': ')[1]}, Linux {platform.release()}")
    print(f"commit: {commit.stdout.strip()}")
    print(f"model: {MODEL}, {chosen.threads} thread(s), {chosen.tokens} tokens greedily after a prompt of about 136\n")
    print(f"{chosen.rounds} rounds, by turns; tokens a second while writing: median (least-most)\n")
    print("| what | tokens/s | of bare calls, round by round | CPU ms a token, prompt included |")
    print("| --- | --- | --- | --- |")
    for name in (BARE, OVER_GRPC, HELD, SERVER, MANY):
        if name in found:
            shares = [value / of for value, of in zip(found[name], found[BARE], strict=True)]
            share = f"{statistics.median(shares):.2f} ({min(shares):.2f}-{max(shares):.2f})"
            print(f"| {name} | {figure(found[name])} | {share} | {figure(found[name + CPU])} |")
    before, after = resident_mib
    print(
        f"\nresident memory of the service: {before:.0f} MiB before its first call, {after:.0f} MiB after all of these"
    )


@contextlib.contextmanager
def processor(note: Note, name: str, pid: int, tokens: int) -> Iterator[None]:
    """Notes the processor time that a process takes for the block, reading the prompt included, ms a token."""

    def seconds() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = seconds()
    yield
    note(name + CPU, (seconds() - before) * 1000 / tokens)


@contextlib.contextmanager
def ended(subject: Lines | Service | None) -> Iterator[None]:
    """Ends a subject with the block."""
    try:
        yield
    finally:
        if subject is not None:
            subject.end()


async def main() -> None:
    """Measures and prints."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--tokens", type=int, default=128)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--peer", help="a Python that has xllamacpp")
    chosen = options.parse_args()
    passive = {"OMP_WAIT_POLICY": "passive"}
    file = str(models() / MODEL / "model.gguf")
    bare = Lines([str(ROOT / ".uait/build/bare-llama"), file, str(chosen.threads)], passive)
    peer_program = str(Path(__file__).with_name("inference_peer.py"))
    peer = Lines([chosen.peer, peer_program, file, str(chosen.threads)], passive) if chosen.peer else None
    service = Service(chosen.threads)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    with ended(bare), ended(peer), ended(service):
        if peer is not None:
            peer.ask(None)
        idle = service.resident_mib()
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub = ml_inference_pb2_grpc.InferenceServiceStub(channel)
            prompt = (await written(stub, PROMPT, 8, constrained=False)).input_tokens
            for _ in range(chosen.rounds):
                with processor(note, BARE, bare.pid, chosen.tokens):
                    note(BARE, bare.ask(f"{prompt} {chosen.tokens}")["output_per_second"])
                with processor(note, OVER_GRPC, service.pid, chosen.tokens):
                    note(OVER_GRPC, await together(stub, chosen.tokens, 1, constrained=False))
                with processor(note, HELD, service.pid, chosen.tokens):
                    note(HELD, await together(stub, chosen.tokens, 1, constrained=True))
                if peer is not None:
                    with processor(note, SERVER, peer.pid, chosen.tokens):
                        note(SERVER, peer.ask(f"{PROMPT}\t{chosen.tokens}")["output_per_second"])
                with processor(note, MANY, service.pid, 8 * chosen.tokens):
                    note(MANY, await together(stub, chosen.tokens, 8, constrained=True))
        loaded = service.resident_mib()

    report(chosen, found, (idle, loaded))


if __name__ == "__main__":
    asyncio.run(main())
