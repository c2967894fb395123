"""Asking the backends for their sides: who is missing, who is lost, and what the command makes of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_worker import fake_python
from test_cli import seqsum
from typer.testing import CliRunner

from bench import cli
from bench.errors import UserError
from bench.measure import environments as interpreters
from bench.measure import parity as sides
from bench.measure.certificate import Certificate, all_cases
from bench.plan.cells import BACKENDS, BackendName

pytestmark = pytest.mark.usefixtures("own_lock")

CASES = all_cases(lengths=(4,), epochs=1)[:3]


def gather(folder: Path, *asked: BackendName, **behaviours: str) -> tuple[Certificate, list[str]]:
    """Certify played backends on a few cases; return what was said too."""
    pythons: dict[str, str] = {backend: fake_python(folder, behaviours.get(backend, "good")) for backend in BACKENDS}
    said: list[str] = []
    return sides.certify_backends(asked, pythons=pythons, say=said.append, cases=CASES), said


def test_all_backends_are_asked_for_all_cases(tmp_path: Path) -> None:
    certificate, said = gather(tmp_path)
    assert certificate.verdict == "pass" and [worker.backend for worker in certificate.backends] == list(BACKENDS)
    assert certificate.cases == ("optimizer", "simple_rnn 4", "simple_rnn 4 mask")
    assert sorted(line.partition(":")[0] for line in said) == sorted([*BACKENDS, "float64"])


def test_only_the_backends_asked_for_run(tmp_path: Path) -> None:
    certificate, _ = gather(tmp_path, "torch")
    assert {check.sides for check in certificate.checks} == {("torch", "float64")} and certificate.notes


@pytest.mark.parametrize(
    ("behaviour", "where"),
    [("dies at import", "its start"), ("no gpu", "its start"), ("crashes", "optimizer"), ("raises", "optimizer")],
)
def test_lost_backend_is_named_and_the_others_still_compared(tmp_path: Path, behaviour: str, where: str) -> None:
    certificate, said = gather(tmp_path, torch=behaviour)
    assert certificate.verdict == "fail" and list(certificate.missing) == ["torch"]
    assert f"lost at {where}" in certificate.missing["torch"]
    assert any(line.startswith("torch: FAILED") for line in said)
    assert {check.sides for check in certificate.checks} >= {("jax", "tensorflow")}
    assert all(check.passed for check in certificate.checks)


def test_wrong_backend_fails_against_everyone_and_the_others_do_not(tmp_path: Path) -> None:
    certificate, _ = gather(tmp_path, torch="wrong numbers")
    assert certificate.verdict == "fail"
    assert {check.sides for check in certificate.checks if not check.passed} == {
        ("jax", "torch"),
        ("torch", "tensorflow"),
        ("torch", "float64"),
    }


def test_backend_whose_python_is_absent_is_missing(tmp_path: Path) -> None:
    pythons = {"jax": fake_python(tmp_path), "torch": "/no/such/python"}
    certificate = sides.certify_backends(["jax", "torch"], pythons=pythons, say=print, cases=CASES)
    assert certificate.verdict == "fail" and "cannot be started" in certificate.missing["torch"]
    assert [worker.backend for worker in certificate.backends] == ["jax"]


def test_backend_that_nobody_asked_for_may_be_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def find(backend: str, **_: Any) -> str:
        if backend == "jax":
            return fake_python(tmp_path)
        raise UserError("not here")

    monkeypatch.setattr(interpreters, "find_interpreter", find)
    certificate = sides.certify_backends([], pythons={}, say=print, cases=CASES)
    assert certificate.verdict == "pass" and certificate.missing == {}


def test_no_backend_at_all_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(backend: str, **_: Any) -> str:
        raise UserError("not here")

    monkeypatch.setattr(interpreters, "find_interpreter", find)
    with pytest.raises(UserError, match="No backend is installed"):
        sides.certify_backends([], pythons={}, say=print, cases=CASES)


@pytest.mark.parametrize(("behaviour", "verdict", "code"), [("good", "pass", 0), ("wrong numbers", "fail", 1)])
def test_command_prints_one_document_or_80_columns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, behaviour: str, verdict: str, code: int
) -> None:
    certificate, _ = gather(tmp_path, torch=behaviour)
    monkeypatch.setattr(sides, "certify_backends", lambda *_, **__: certificate)
    as_json = CliRunner().invoke(cli.app, ["parity", "--json"])
    assert as_json.exit_code == code and json.loads(as_json.stdout)["verdict"] == verdict
    text = CliRunner().invoke(cli.app, ["parity"])
    assert text.exit_code == code and text.stdout.startswith(f"Parity certificate: {verdict.upper()}")
    assert "torch / tensorflow" in text.stdout and "simple_rnn 4 mask" in text.stdout
    assert ("Checks that failed" in text.stdout) == (verdict == "fail")
    assert max(map(len, text.stdout.splitlines())) <= 80


def test_missing_backend_stands_in_the_text_with_exit_code_1(tmp_path: Path) -> None:
    answer = seqsum(tmp_path, "parity", "--backend", "jax", "--python", "jax=/no/such/python")
    assert answer.returncode == 1, answer.stderr
    assert "missing: jax" in answer.stdout and "cannot be started" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--backend", "theano"], "`backend` must be one of"),
        (["--python", "jax"], "`--python` must be BACKEND=PATH"),
        (["--length", "4"], "No such option"),
    ],
)
def test_wrong_input_is_one_line_with_exit_code_2(tmp_path: Path, arguments: list[str], expected: str) -> None:
    answer = seqsum(tmp_path, "parity", *arguments)
    assert answer.returncode == 2 and expected in answer.stderr
    assert answer.stdout == "" and "Traceback" not in answer.stderr
