"""The vendored public contracts are those that the public clients speak, to the last field."""

import ast
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

PINS = Path(__file__).with_name("clients.txt")


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pinned client packages without their dependencies, in a cache that the pins' hash names."""
    digest = hashlib.sha256(PINS.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uait/contract-clients"
    folder = cache / digest
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        scratch = tmp_path_factory.mktemp("clients")
        subprocess.run([sys.executable, "-m", "venv", scratch / "venv"], check=True, timeout=120)
        install = [scratch / "venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        install += ["--no-deps", "--require-hashes", "--target", scratch / "packages", "--requirement", PINS]
        subprocess.run(install, check=True, timeout=300)
        # Beside the target first, since a rename within one file system is atomic: two test runs may do this at once.
        staged = cache / f"{digest}.{os.getpid()}"
        subprocess.run(["cp", "-r", scratch / "packages", staged], check=True, timeout=60)
        try:
            staged.rename(folder)
        except OSError:
            subprocess.run(["rm", "-r", staged], check=True, timeout=60)
    return folder


def published(generated: Path) -> FileDescriptorProto:
    """The descriptor inside a `_pb2.py`, read without importing it: no pool, no version check."""
    for node in ast.walk(ast.parse(generated.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
            return FileDescriptorProto.FromString(ast.literal_eval(node.args[0]))
    raise AssertionError(f"{generated.name} holds no descriptor")


def bare(file: FileDescriptorProto) -> FileDescriptorProto:
    """The file without what is nobody's contract: file names, comments, derived JSON names, empty options."""
    copy = FileDescriptorProto()
    copy.CopyFrom(file)
    for field in ("name", "dependency", "source_code_info"):
        copy.ClearField(field)
    for service in copy.service:
        for method in service.method:
            if not method.options.ByteSize():
                method.ClearField("options")
    for message in copy.message_type:
        _derive_json_names(message)
    return copy


def _derive_json_names(message: DescriptorProto) -> None:
    for field in message.field:
        if field.json_name == re.sub(r"_(.?)", lambda m: m[1].upper(), field.name):
            field.ClearField("json_name")
    for nested in message.nested_type:
        _derive_json_names(nested)


CONTRACTS = [
    ("inference/grpc_service.proto", "tritonclient/grpc/service_pb2.py"),
    ("inference/model_config.proto", "tritonclient/grpc/model_config_pb2.py"),
    ("lf/a2a/v1/a2a.proto", "a2a/types/a2a_pb2.py"),
]


@pytest.mark.parametrize(("vendored", "generated"), CONTRACTS)
def test_vendored_contract_equals_published(
    descriptors: FileDescriptorSet, clients: Path, vendored: str, generated: str
) -> None:
    ours = next(f for f in descriptors.file if f.name == vendored)
    assert bare(ours) == bare(published(clients / generated))


@pytest.mark.parametrize(("vendored", "generated"), CONTRACTS)
def test_comparison_sees_one_changed_field_number(
    descriptors: FileDescriptorSet, clients: Path, vendored: str, generated: str
) -> None:
    changed = bare(next(f for f in descriptors.file if f.name == vendored))
    next(m for m in changed.message_type if m.field).field[0].number += 100
    assert changed != bare(published(clients / generated))


def test_public_services_have_their_wire_names(descriptors: FileDescriptorSet) -> None:
    rpcs = {f"{f.package}.{s.name}": {m.name for m in s.method} for f in descriptors.file for s in f.service}
    assert {
        "ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer", "ModelStreamInfer",
        "ModelConfig", "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload",
        "SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister", "TraceSetting",
        "LogSettings",
    } <= rpcs["inference.GRPCInferenceService"]  # fmt: skip
    assert rpcs["lf.a2a.v1.A2AService"] == {
        "SendMessage", "SendStreamingMessage", "GetTask", "ListTasks", "CancelTask", "SubscribeToTask",
        "CreateTaskPushNotificationConfig", "GetTaskPushNotificationConfig", "ListTaskPushNotificationConfigs",
        "DeleteTaskPushNotificationConfig", "GetExtendedAgentCard",
    }  # fmt: skip


@pytest.mark.parametrize("folder", ["inference", "lf/a2a/v1", "google", "buf"])
def test_vendored_contract_has_its_licence_and_source(root: Path, folder: str) -> None:
    third_party = root / "proto/third_party"
    assert (third_party / folder / "LICENSE").read_text().strip()
    assert f"`{folder}`" in (third_party / "README.md").read_text()
