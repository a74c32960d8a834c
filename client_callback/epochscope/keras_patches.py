"""Reversible patches: methods put on one object (never on its class), and taken away without a trace.

A patch lives as long as its owner says so. When ``fit()`` raises, Keras tells nobody, so that a patch can outlive
its fit: it then passes every call through, and ``sweep`` takes it away the next time someone looks.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

_ABSENT = object()


class Owner:
    """Who made a patch. While ``live``, the patch does something; the patch does not keep it in memory."""

    live = True


class Patch:
    """``replacement(original, *args, **kwargs)`` stands for a method, while its owner lives."""

    def __init__(self, owner: Owner, original: Any, shadowed: Any, replacement: Callable[..., Any]) -> None:
        self._owner = weakref.ref(owner)
        self.shadowed = shadowed  # what lay in the object's own dict before
        self._original = original
        self._replacement = replacement

    @property
    def owner(self) -> Owner | None:
        owner = self._owner()
        return owner if owner is not None and owner.live else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        owner = self.owner
        if owner is None:
            return self._original(*args, **kwargs)
        return self._replacement(owner, self._original, *args, **kwargs)


def put(owner: Owner, target: object, name: str, replacement: Callable[..., Any]) -> None:
    """Puts ``replacement(owner, original, *args, **kwargs)`` in the place of ``target.name``.

    The entry goes straight into the object's dict: Keras's ``__setattr__`` would track it.
    """
    own = vars(target)
    own[name] = Patch(owner, getattr(target, name), own.get(name, _ABSENT), replacement)


def sweep(target: object) -> bool:
    """Takes away the patches of owners that no longer live, and says whether there were any; others stay in place."""
    own = vars(target)
    found = False
    for name, value in list(own.items()):
        if not isinstance(value, Patch):
            continue
        kept: Any = value
        while isinstance(kept, Patch) and kept.owner is None:
            kept = kept.shadowed
        found |= kept is not value
        if kept is _ABSENT:
            del own[name]
        elif kept is not value:
            own[name] = kept
    return found


def owners(target: object) -> set[Owner]:
    """Who lives on in the patches of ``target``."""
    found: set[Owner] = set()
    for value in vars(target).values():
        while isinstance(value, Patch):
            if (owner := value.owner) is not None:
                found.add(owner)
            value = value.shadowed
    return found


def forget_compiled_steps(model: Any) -> None:
    """The next step is traced anew, with whatever patches there are by then; also in the middle of a fit."""
    for made, make in (("train_function", "make_train_function"), ("test_function", "make_test_function")):
        if getattr(model, made, None) is None:
            continue
        try:
            getattr(model, make)(force=True)
        except TypeError:  # the model has a way of its own, that knows no force
            setattr(model, made, None)
