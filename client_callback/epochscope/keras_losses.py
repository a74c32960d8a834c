"""What can be known of a loss without computing it: its name, whether it is Keras's own, what it was made with."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Loss:
    """One loss, as given to ``compile``.

    ``shown`` is what to call it, ``plain`` its name in small letters only. Keras's own (``of_keras``) fails by itself
    where labels and predictions do not belong together; what a person wrote may do anything.
    """

    shown: str
    plain: str
    of_keras: bool
    from_logits: bool
    ignore_class: int | None


def known(loss: Any) -> Loss:
    """What is known of ``loss``: a string, a function, a ``functools.partial`` of one, a Loss object, or None."""
    core, given = _core(loss)
    shown = core if isinstance(core, str) else str(getattr(core, "__name__", type(core).__name__))
    if core is None:
        shown = ""
    elif isinstance(core, str):
        core = _found(core)
    home = str(getattr(core, "__module__", ""))
    told = {name: given.get(name, getattr(loss, name, None)) for name in ("from_logits", "ignore_class")}
    plain = re.sub(r"[^a-z]", "", shown.lower())
    return Loss(shown, plain, home.startswith("keras."), bool(told["from_logits"]), told["ignore_class"])


def _core(loss: Any) -> tuple[Any, dict[str, Any]]:
    """The function or object within what wraps it, and the arguments that it was wrapped with."""
    given: dict[str, Any] = {}
    while True:
        if type(loss).__name__ == "LossFunctionWrapper" and hasattr(loss, "fn"):
            given = {**getattr(loss, "_fn_kwargs", {}), **given}
            loss = loss.fn
        elif isinstance(loss, functools.partial):
            given = {**loss.keywords, **given}
            loss = loss.func
        else:
            return loss, given


def _found(name: str) -> Any:
    """The loss that ``compile`` finds under ``name``, which may be one that a person has registered; or None."""
    try:
        return keras.losses.get(name)
    except (ValueError, TypeError):
        return None
