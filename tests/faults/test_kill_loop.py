"""Clients and the service are killed at random, started again, and nothing is lost, doubled or only acknowledged.

`kill_loop` says what is killed and what is compared. It goes red for what it is there for: see `mutants`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import stage
from faults.kill_loop import loop
from postgres import Cluster

KILLS = int(os.environ.get("EPOCHSCOPE_KILLS", "300"))
SEED = os.environ.get("EPOCHSCOPE_SEED") or str(random.randrange(10**6))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_9_of_clients_and_service_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with stage.using(None):
        found = loop(KILLS, SEED, tmp_path)
    assert found.bad() == [], f"EPOCHSCOPE_SEED={SEED} draws this again"


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(900)
def test_kill_9_of_clients_and_service_loses_and_doubles_nothing_on_postgresql(
    cluster: Cluster, tmp_path: Path
) -> None:
    with stage.using(cluster):
        found = loop(KILLS, SEED, tmp_path)
    assert found.bad() == [], f"EPOCHSCOPE_SEED={SEED} draws this again"
