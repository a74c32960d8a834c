"""What a person may pass for a run, checked and brought to the form that travels.

Each error names the argument and says what would do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, KeysView, Mapping, Sequence, Set
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from epochscope import wire

OUTPUT = "output"  # the name of a model's only classified output

_ADJECTIVES = "amber bold brisk calm clear deft early fair fleet fresh keen lucid mellow quiet swift vivid".split()  # noqa: SIM905
_NOUNS = "alder comet crane delta ember falcon fjord heron lark maple otter reef river spruce tern wren".split()  # noqa: SIM905


def numbered(classes: int) -> tuple[str, ...]:
    """The names of classes that have none: "0", "1", ..."""
    return tuple(str(index) for index in range(classes))


def readable_name(run_id: str) -> str:
    """A name a person can say and tell from others, the same for the same id."""
    number = int(run_id, 36)
    return f"{_ADJECTIVES[number % 16]}-{_NOUNS[number // 16 % 16]}-{run_id[:4]}"


def known_params(params: Any) -> dict[str, Any]:
    """Hyperparameters as a person gave them, in the form that travels; {} for None.

    Raises:
        TypeError, ValueError: they are no mapping, or it holds itself.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise TypeError(f"params must be a dict (vars(args) of an argparse.Namespace), not {_shown(params)}")
    try:
        return flat_params(params)
    except RecursionError:
        raise ValueError("params holds itself") from None


def known_tags(tags: Any) -> list[str]:
    """Tags as a person gave them.

    Raises:
        TypeError: they are no list of words.
    """
    if isinstance(tags, str):
        raise TypeError(f"tags must be a list of strings, not the string {tags!r}")
    if not isinstance(tags, Iterable):
        raise TypeError(f"tags must be a list of strings, not {_shown(tags)}")
    return [str(tag) for tag in tags]


def known_run(field: str, run_id: Any) -> None:
    """Checks the id of a run that is to be gone on with.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(run_id, str):
        raise TypeError(f"{field} must be the id of a run, not {_shown(run_id)}")
    wire.check_id(field, run_id)


def _shown(value: Any) -> str:
    return f"{value!r:.60}"


def flat_params(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``params`` as they travel: one level, clean names, plain values; anything else becomes its text."""
    flat: dict[str, Any] = {}
    for key, value in params.items():
        name = f"{prefix}{key}"
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, Mapping):
            flat.update(flat_params(value, f"{name}."))
        elif value is None or isinstance(value, bool | float):
            flat[wire.clean_name(name)] = value
        elif isinstance(value, int):
            flat[wire.clean_name(name)] = value if -(2**63) <= value < 2**63 else str(value)
        else:
            flat[wire.clean_name(name)] = str(value).encode("utf-8", "replace").decode()[:10_000]
    return flat


def class_outputs(
    class_names: Sequence[str] | Mapping[str, Sequence[str]] | None, num_classes: int | None
) -> Mapping[str, Sequence[str]]:
    if num_classes is not None:
        if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer):
            raise TypeError(f"num_classes must be a whole number, not {_shown(num_classes)}")
        if not 2 <= num_classes <= wire.MAX_CLASSES:
            raise ValueError(f"num_classes must be 2 to {wire.MAX_CLASSES:,}, not {num_classes}")
    if class_names is None:
        return {} if num_classes is None else {OUTPUT: numbered(int(num_classes))}
    given = class_names if isinstance(class_names, Mapping) else {OUTPUT: class_names}
    if any(not isinstance(output, str) for output in given) or any(isinstance(one, int) for one in given.values()):
        raise TypeError(
            "class_names must be a list in the order of the class indices, or a mapping of output names to such lists; "
            f"a mapping of indices and names, such as {_shown(dict(given))}, must be made one"
        )
    outputs = {output: _names(output, names) for output, names in given.items()}
    for output, names in outputs.items():
        if not 1 <= len(names) <= wire.MAX_CLASSES:
            raise ValueError(f"class_names of {output!r} must have 1 to {wire.MAX_CLASSES:,} names, not {len(names)}")
        if len(set(names)) != len(names):
            twice = next(name for name, times in Counter(names).items() if times > 1)
            raise ValueError(f"class_names has {twice!r} twice; names must differ")
        if num_classes is not None and len(names) != num_classes:
            raise ValueError(f"class_names has {len(names)} names, but num_classes is {num_classes}")
    return outputs


def _names(output: str, names: Any) -> list[str]:
    if isinstance(names, str | bytes):
        raise TypeError(f"class_names must be a list of names, not the string {names!r}")
    if isinstance(names, Set) and not isinstance(names, KeysView):
        raise TypeError(f"class_names of {output!r} must be a list: a set has no order")
    if not isinstance(names, Iterable):
        raise TypeError(f"class_names must be a list of names, not {_shown(names)}")
    found = []
    for name in names:
        if isinstance(name, list | tuple | np.ndarray):
            raise TypeError(f"class_names of {output!r} must be a flat list, not one of {_shown(name)}")
        found.append(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name))
    return found


def whole_step(step: int, least: int) -> int:
    if isinstance(step, bool) or not isinstance(step, int | np.integer):
        raise TypeError(f"step must be a whole number, not {step!r}")
    if not least <= step <= wire.MAX_STEP:
        raise ValueError(f"step must be at least {least}, not {step}; steps count from 1")
    return int(step)


def known_split(split: str) -> wire.Split:
    if split not in get_args(wire.Split):
        raise ValueError(f"split must be one of {', '.join(get_args(wire.Split))}, not {split!r}")
    return cast(wire.Split, split)


def known_by(by: str) -> wire.By:
    if by not in get_args(wire.By):
        raise ValueError(f"by must be one of {', '.join(get_args(wire.By))}, not {by!r}")
    return cast(wire.By, by)


def known_status(status: str) -> wire.EndStatus:
    if status not in get_args(wire.EndStatus):
        raise ValueError(f"status must be one of {', '.join(get_args(wire.EndStatus))}, not {status!r}")
    return cast(wire.EndStatus, status)


def number(key: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{key} must be one number, not {value!r}") from None


def label_indices(what: str, labels: NDArray[Any], classes: int) -> NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"{what} must be class indices [B], not an array of shape {labels.shape}")
    whole = labels.astype(np.int64)
    if not np.array_equal(whole, labels):
        raise ValueError(f"{what} must be whole numbers (class indices)")
    if len(whole) and (whole.min() < 0 or whole.max() >= classes):
        wrong = whole[(whole < 0) | (whole >= classes)][0]
        raise ValueError(f"{what} has the label {wrong}; the {classes} classes are 0 to {classes - 1}")
    return whole
