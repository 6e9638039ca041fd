"""buf's own checks, and proof that the check for breaking changes can fail."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Run


def test_contracts_lint_clean(buf: Run) -> None:
    result = buf("lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_contracts_are_formatted(buf: Run) -> None:
    result = buf("format", "--diff", "--exit-code", "--path", "proto/uait")
    assert result.returncode == 0, result.stdout + result.stderr


def test_contracts_compatible_with_earlier_version(root: Path) -> None:
    result = subprocess.run([root / "proto/breaking.sh"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """A repository of its own whose only commit, on main, is the present tree of contracts."""
    for part in ("buf.yaml", "proto"):
        source = root / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / part)
    (tmp_path / "ts").mkdir()
    (tmp_path / "ts/node_modules").symlink_to(root / "ts/node_modules")
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    save(tmp_path, "as it was")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@uait.dev"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def save(folder: Path, message: str) -> None:
    git(folder, "add", "buf.yaml", "proto")
    git(folder, "commit", "--quiet", "--message", message)


def renumber(folder: Path) -> None:
    file = folder / "proto/uait/echo/v1/echo.proto"
    text = file.read_text()
    changed = re.sub(r"bytes payload = 2;\n  // A name", "bytes payload = 9;\n  // A name", text, count=1)
    assert changed != text
    file.write_text(changed)


def check(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([folder / "proto/breaking.sh"], cwd=folder, capture_output=True, text=True, timeout=120)


def test_breaking_check_without_earlier_commit_says_so(clone: Path) -> None:
    result = check(clone)
    assert (result.returncode, result.stdout) == (0, "proto: no earlier version to compare with\n")


def test_breaking_check_field_renumbered_on_main_names_the_field(clone: Path) -> None:
    renumber(clone)
    save(clone, "break it")
    result = check(clone)
    assert result.returncode != 0
    assert "EchoRequest" in result.stdout
    assert "payload" in result.stdout


def test_breaking_check_field_renumbered_on_a_branch_is_seen_past_later_commits(clone: Path) -> None:
    git(clone, "switch", "--quiet", "--create", "feature")
    renumber(clone)
    save(clone, "break it")
    readme = clone / "proto/note.md"
    readme.write_text("something else\n")
    save(clone, "something else")
    result = check(clone)
    assert result.returncode != 0
    assert "payload" in result.stdout


def test_breaking_check_field_added_passes(clone: Path) -> None:
    file = clone / "proto/uait/echo/v1/echo.proto"
    text = file.read_text()
    file.write_text(text.replace("  bytes payload = 2;\n", "  bytes payload = 2;\n  // More.\n  bytes more = 9;\n", 1))
    save(clone, "add a field")
    result = check(clone)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "compatible with" in result.stdout


def test_breaking_check_shallow_clone_without_parent_says_so(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    renumber(clone)
    save(clone, "break it")
    shallow = tmp_path_factory.mktemp("shallow") / "clone"
    git(clone, "clone", "--quiet", "--depth=1", clone.as_uri(), str(shallow))
    git(shallow, "remote", "set-url", "origin", (clone / "gone").as_uri())
    (shallow / "ts").mkdir()
    (shallow / "ts/node_modules").symlink_to(clone / "ts/node_modules")
    result = check(shallow)
    assert (result.returncode, result.stdout) == (0, "proto: no earlier version to compare with\n")


def test_breaking_check_shallow_clone_with_remote_finds_the_parent(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    renumber(clone)
    save(clone, "break it")
    shallow = tmp_path_factory.mktemp("shallow") / "clone"
    git(clone, "clone", "--quiet", "--depth=1", clone.as_uri(), str(shallow))
    (shallow / "ts").mkdir()
    (shallow / "ts/node_modules").symlink_to(clone / "ts/node_modules")
    result = check(shallow)
    assert result.returncode != 0
    assert "payload" in result.stdout
