"""What a browser has is not sent again while nothing of the run has changed."""

from __future__ import annotations

from typing import Any

import pytest
from epochscope import wire
from stage import Service, Training, counted

QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("/runs/{run}/confusion", {}),
    ("/runs/{run}/classes", {"points": 2}),
    ("/runs/{run}/cell", {"true": "cat", "predicted": "dog"}),
    ("/runs/{run}/series", {"keys": "loss"}),
    ("/figures/classes", {"run": "{run}"}),
    ("/figures/confusion", {"run": "{run}"}),
    ("/figures/cell", {"run": "{run}", "true": "0", "predicted": "1"}),
    ("/figures/series", {"run": "{run}", "keys": "loss"}),
    ("/tables/classes", {"run": "{run}"}),
    ("/tables/compare", {"runs": "{other},{run}", "split": "train"}),
    ("/figures/classes", {"runs": "{run},{other}"}),
    ("/figures/compare", {"runs": "{other},{run}", "split": "train"}),
]


def told(service: Service) -> Training:
    training = Training(service)
    loss = wire.SeriesColumns.of("loss", "train", "batch", [1], [0.5])
    training.send(confusion=[counted([([0, 1, 2], [0, 1, 1])])], series=[loss])
    return training


@pytest.mark.parametrize(("path", "query"), QUERIES)
def test_an_answer_is_sent_again_only_when_its_run_has_changed(
    service: Service, path: str, query: dict[str, Any]
) -> None:
    training, other = told(service), told(service)
    ids = {"run": training.run, "other": other.run}
    asked = {key: value.format(**ids) if isinstance(value, str) else value for key, value in query.items()}

    def ask(known: str = "", **more: Any) -> Any:
        headers = {"if-none-match": known} if known else {}
        return service.ask(path.format(**ids), params=asked | more, headers=headers)

    first = ask()
    assert first.status_code == 200
    assert first.headers["cache-control"] == "private, no-cache"
    tag = first.headers["etag"]
    again = ask(tag)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert again.headers["cache-control"] == "private, no-cache"
    assert ask(f'"other", W/{tag}').status_code == 304
    assert ask('"other"').status_code == 200
    assert ask(tag, theme="dark").status_code == 200  # another question
    training.send()
    changed = ask(tag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_an_unknown_run_is_not_a_thing_to_keep(service: Service) -> None:
    answer = service.ask("/runs/nosuchrun/classes")
    assert answer.status_code == 404
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
