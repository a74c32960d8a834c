"""The tests are tested: each fault seeded into a copy of the product must turn the named test red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults.mutants.client import CLIENT
from faults.mutants.mutant import ROOT, Mutant
from faults.mutants.service import SERVICE

MUTANTS = (*CLIENT, *SERVICE)


def named(mutant: Mutant) -> str:
    return f"{mutant.package.name}: {mutant.fault}"


def outcome(folder: Path, *tests: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the tests on the packages in ``folder``."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"} | environment
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)


def copied(folder: Path, package: Path) -> Path:
    left_out = shutil.ignore_patterns("__pycache__", "*_subset", "static")
    shutil.copytree(package, folder / package.name, ignore=left_out)
    return folder / package.name


@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_each_mutant_still_fits_the_code(mutant: Mutant) -> None:
    assert (mutant.package / mutant.file).read_text().count(mutant.before) == 1


@pytest.mark.slow
@pytest.mark.timeout(630)  # the kill loop, on a busy machine
@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_each_mutant_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    file = copied(tmp_path, mutant.package) / mutant.file
    file.write_text(file.read_text().replace(mutant.before, mutant.after))
    done = outcome(tmp_path, mutant.test, **mutant.environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed" in done.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("mutants", [CLIENT, SERVICE], ids=["client", "service"])
def test_without_a_mutation_every_named_test_passes_on_a_copy(mutants: tuple[Mutant, ...], tmp_path: Path) -> None:
    package = copied(tmp_path, mutants[0].package)
    tests = {mutant.test for mutant in mutants if not mutant.environment}
    done = outcome(tmp_path, *sorted(tests))
    assert done.returncode == 0, done.stdout + done.stderr
    (package / "__init__.py").write_text("raise ImportError('the copy is what is tested')")
    assert outcome(tmp_path, mutants[0].test).returncode != 0
