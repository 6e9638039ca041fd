"""The command line, given once or on each line of standard input."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from conformance.__main__ import main, run_line


def test_command_line_that_makes_no_sense_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_line(["--target", "127.0.0.1:1"]) == 2
    assert "--cases" in capsys.readouterr().err


def test_each_line_is_a_run_and_a_wrong_one_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = tmp_path / "cases.yaml"
    cases.write_text("cases: []")
    right = ["--cases", str(cases), "--target", "127.0.0.1:1"]
    missing = ["--cases", str(tmp_path / "none.yaml"), "--target", "127.0.0.1:1"]
    monkeypatch.setattr(sys, "argv", ["conformance", "--each-line"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{json.dumps(line)}\n" for line in (missing, [], right))))
    main()
    exits = [json.loads(line)["exit"] for line in capsys.readouterr().out.splitlines()]
    assert exits == [2, 2, 0]
