"""Command line of the conformance client; CONTRIBUTING.md describes it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from conformance.cases import load_cases
from conformance.failure import CaseFailed
from conformance.session import Session, TlsPaths


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line; exits with 2 and the usage when it is wrong."""
    parser = argparse.ArgumentParser(prog="conformance", description="Runs the cases of cases.yaml against a server.")
    parser.add_argument("--cases", type=Path, required=True, metavar="FILE", help="cases.yaml")
    parser.add_argument("--target", required=True, metavar="HOST:PORT", help="what is called: the server, or Envoy")
    parser.add_argument("--server", metavar="HOST:PORT", help="the server itself, for health checks; default: target")
    parser.add_argument("--pid", type=int, metavar="N", help="process of the server, for the drain case")
    parser.add_argument("--service", metavar="NAME", help="sent as x-uait-service")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="PEM certificate of this client")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="PEM key of this client")
    parser.add_argument("--tls-ca", type=Path, metavar="FILE", help="PEM authorities that the server is held to")
    parser.add_argument("--only", metavar="CASE", help="run this case alone")
    options = parser.parse_args(arguments)
    tls = (options.tls_cert, options.tls_key, options.tls_ca)
    if any(tls) and not all(tls):
        parser.error("--tls-cert, --tls-key and --tls-ca go together")
    return options


async def run(options: argparse.Namespace) -> None:
    """Runs the cases in order and prints a line for each."""
    tls = TlsPaths(options.tls_cert, options.tls_key, options.tls_ca) if options.tls_cert else None
    cases = load_cases(options.cases, only=options.only)
    async with Session(
        target=options.target,
        server=options.server or options.target,
        pid=options.pid,
        service=options.service,
        tls=tls,
    ) as session:
        for case in cases:
            began_s = time.perf_counter()
            line: dict[str, object] = {"case": case["name"], "ok": True}
            try:
                await session.run(case)
            except CaseFailed as failure:
                line |= {"ok": False, "error": str(failure)}
            except Exception as error:
                # Whatever a server does must cost one case, not the run.
                line |= {"ok": False, "error": f"{type(error).__name__}: {error}"}
            line["ms"] = round((time.perf_counter() - began_s) * 1000, 1)
            print(json.dumps(line, ensure_ascii=False), flush=True)


def run_line(arguments: list[str]) -> int:
    """Runs what a command line says; returns the exit code, 2 when it or the file of cases is wrong."""
    try:
        asyncio.run(run(parse_arguments(arguments)))
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def main() -> None:
    """Runs the client, once, or with `--each-line` for each command line, a JSON array, of standard input."""
    if sys.argv[1:] != ["--each-line"]:
        sys.exit(run_line(sys.argv[1:]))
    for line in sys.stdin:
        print(json.dumps({"exit": run_line(json.loads(line))}), flush=True)


if __name__ == "__main__":
    main()
