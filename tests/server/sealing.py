"""How tests have a service of this process seal: at once, and not before."""

from __future__ import annotations

import gc

from epochscope_server.store.sealer import Sealer
from stage import Service


def seal(service: Service) -> None:
    """Have everything sealed that was acknowledged so far."""
    assert sealer(service).settle()


def sealer(service: Service) -> Sealer:
    """The sealer of a service of this process."""
    return next(
        one for one in gc.get_objects() if isinstance(one, Sealer) and one._database.data_dir == service.data_dir
    )
