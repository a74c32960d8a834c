"""Several processes of one training: who they say they are, by what launchers and frameworks tell them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from epochscope.processes import Place, place

CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"], "evaluator": ["e:1"]}
TWO = {"worker": ["a:1", "b:1"]}


def config(cluster: Any, kind: str | None, index: Any = 0) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4"}, Place(0, 4, "RANK")),
        ({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}, Place(3, 4, "RANK")),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, Place(1, 2, "LOCAL_RANK")),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "8"}, Place(2, 8, "OMPI_COMM_WORLD_RANK")),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, Place(1, 2, "PMI_RANK")),
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "6"}, Place(5, 6, "SLURM_PROCID")),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, None),
        ({"RANK": "3"}, None),
        ({"RANK": "3", "WORLD_SIZE": "1"}, None),
        ({"RANK": "high", "WORLD_SIZE": "many"}, None),
        (config(CLUSTER, "chief"), Place(0, 5, "TF_CONFIG")),
        (config(CLUSTER, "worker", 0), Place(1, 5, "TF_CONFIG")),
        (config(CLUSTER, "worker", 1), Place(2, 5, "TF_CONFIG")),
        (config(CLUSTER, "evaluator"), Place(3, 5, "TF_CONFIG")),
        (config(TWO, "worker", 0), Place(0, 2, "TF_CONFIG")),
        (config(TWO, "worker", 1), Place(1, 2, "TF_CONFIG")),
        (config(TWO, "worker", "1"), Place(1, 2, "TF_CONFIG")),
        (config({"worker": ["a:1"]}, "worker"), None),
        (config(TWO, "worker", 7), None),
        (config(TWO, None), None),
        ({"TF_CONFIG": "{"}, None),
        ({"TF_CONFIG": "[1]"}, None),
        ({**config(TWO, "worker", 1), "RANK": "0", "WORLD_SIZE": "2"}, Place(1, 2, "TF_CONFIG")),
    ],
    ids=str,
)
def test_what_launchers_set_is_understood(environment: dict[str, str], found: Place | None) -> None:
    assert place("numpy", None, environment) == found


def test_a_process_says_in_one_line_whether_it_records_and_what_else_could_be_meant() -> None:
    assert Place(0, 2, "RANK").line() == ("this is process 0 of 2 (RANK): it records the training, the others do not")
    assert Place(1, 2, "RANK").line() == (
        "this is process 1 of 2 (RANK): process 0 records the training, this one does not. "
        "If it trains a model of its own, unset RANK"
    )
    assert Place(1, 2, "torch.distributed", variable=False).line().endswith("this one does not")
