"""The contracts as data: the descriptor set that buf builds from the tree, and the tools that the tests call."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from google.api import annotations_pb2, client_pb2, field_behavior_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from buf.validate import validate_pb2

# Loaded, so that options which these extend are read as messages and not kept as unknown bytes.
OPTION_FILES = (validate_pb2, annotations_pb2, client_pb2, field_behavior_pb2)

ROOT = Path(__file__).resolve().parents[3]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def buf() -> Run:
    """Calls buf in a folder and returns what it said, whatever its exit code."""

    def run(*arguments: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(ROOT / "ts/node_modules/.bin/buf"), *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
        )

    return run


@pytest.fixture(scope="session")
def descriptors() -> FileDescriptorSet:
    """Every contract, vendored ones included, as buf compiles it."""
    built = subprocess.run(
        [str(ROOT / "ts/node_modules/.bin/buf"), "build", "--as-file-descriptor-set", "-o", "-"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=120,
    )
    return FileDescriptorSet.FromString(built.stdout)
