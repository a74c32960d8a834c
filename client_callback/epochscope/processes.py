"""Several processes that train one model together: which of them this one is. The first records, the others do not.

Asked is the framework, where it has been told of the others; else the environment that launchers set: ``TF_CONFIG``,
``RANK`` and ``WORLD_SIZE`` (torchrun), Open MPI, MPICH, Slurm.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A rank counts only beside a size above 1: one that a shell has kept from somewhere says nothing.
_VARIABLES = (
    ("RANK", "WORLD_SIZE"),
    ("LOCAL_RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)


@dataclass(frozen=True)
class Place:
    """Process ``index`` (from 0) of ``of``; ``told_by`` says who says so, ``variable`` whether the environment does."""

    index: int
    of: int
    told_by: str
    variable: bool = True

    def line(self) -> str:
        """What this process says of itself."""
        here = f"this is process {self.index} of {self.of} ({self.told_by})"
        if not self.index:
            return f"{here}: it records the training, the others do not"
        alone = f". If it trains a model of its own, unset {self.told_by}" if self.variable else ""
        return f"{here}: process 0 records the training, this one does not{alone}"


def place(backend: str, strategy: Any, environment: Mapping[str, str]) -> Place | None:
    """Where this process stands among those of one training; None if it is the only one.

    Args:
        backend: of Keras.
        strategy: the ``tf.distribute`` strategy of the model, if any.
        environment: the variables of this process.
    """
    found = _of_framework(backend, strategy) or _of_cluster(environment.get("TF_CONFIG", "{}"))
    if found is not None:
        return found
    for rank, size in _VARIABLES:
        index, of = _whole(environment.get(rank)), _whole(environment.get(size))
        if index is not None and of is not None and of > 1:
            return Place(index, of, rank)
    return None


def _of_framework(backend: str, strategy: Any) -> Place | None:
    """Of the backend at work alone: to ask another one could start it."""
    try:
        if backend == "jax":
            jax = sys.modules["jax"]
            return _one_of(int(jax.process_index()), int(jax.process_count()), "jax.process_index()")
        if backend == "torch":
            distributed = sys.modules["torch"].distributed
            if distributed.is_available() and distributed.is_initialized():
                return _one_of(distributed.get_rank(), distributed.get_world_size(), "torch.distributed")
        if backend == "tensorflow" and (resolver := getattr(strategy, "cluster_resolver", None)) is not None:
            cluster = resolver.cluster_spec().as_dict()
            return _of_task(cluster, resolver.task_type, resolver.task_id, "its tf.distribute strategy", False)
    except Exception:  # each framework fails in ways of its own; then the environment is asked
        return None
    return None


def _one_of(index: int, of: int, told_by: str) -> Place | None:
    return Place(index, of, told_by, variable=False) if of > 1 else None


def _of_cluster(config: str) -> Place | None:
    """What TF_CONFIG says, a JSON object: the addresses of all tasks by their type, and which of them this is."""
    try:
        told = json.loads(config)
        task = told.get("task", {})
        return _of_task(told.get("cluster", {}), task.get("type"), task.get("index", 0), "TF_CONFIG", True)
    except (AttributeError, TypeError, ValueError):
        return None


def _of_task(cluster: Mapping[str, Any], kind: Any, number: Any, told_by: str, variable: bool) -> Place | None:
    """The chief comes first, then the workers, then whoever does not train (evaluators, parameter servers)."""
    tasks = [
        (each, index)
        for each in sorted(cluster, key=lambda name: ({"chief": 0, "master": 0, "worker": 1}.get(name, 2), name))
        for index in range(len(cluster[each]))
    ]
    if len(tasks) < 2 or (kind, int(number)) not in tasks:
        return None
    return Place(tasks.index((kind, int(number))), len(tasks), told_by, variable)


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
