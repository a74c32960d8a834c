"""An alert in words, and as webhooks take it. What a run or class is called is text, whatever it looks like."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

TOGETHER = 20  # alerts of one message

_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_SPLITS = {"train": "training", "val": "validation"}


def sentence(told: Mapping[str, Any], name: Callable[[str], str] = str) -> str:
    """What happened, as one sentence without its full stop; ``name`` makes the text of what others have named."""
    details, kind, split = told["details"], told["kind"], _SPLITS.get(told["split"], told["split"])
    who = name(told["class_name"])
    if kind == "change":
        taken = f"; taken for {name(details['taken_for'])}" if details.get("taken_for") else ""
        return (
            f"{who} fell from a recall of {details['best']:.2f} or more to {details['now']['value']:.2f}, "
            f"{_since(told)}, {split}{taken}"
        )
    if kind == "drop":
        return f"{who} surely fell by {100 * details['drop']:.0f} points, {_since(told)}, {split}"
    if kind == "below":
        rate = f"{details['now']['value']:.2f} of {details['seen']:,} samples"
        return f"the {details['metric']} of {who} is surely below {details['at']:g}: {rate}, {_since(told)}, {split}"
    if kind == "nan":
        unit = "step" if details["by"] == "batch" else "epoch"
        return f"the loss is {details['value']} since {unit} {details['first']:,}, {split}"
    step = f" since step {details['step']:,}" if details["step"] else ""
    if kind == "stalled":
        return f"no new batch{step}, though the process answers"
    return f"nothing is heard of the run{step}"


def _since(told: Mapping[str, Any]) -> str:
    return f"since step {told['start']:,}"


def window(told: Mapping[str, Any]) -> tuple[int, int] | None:
    """The steps `[from, to)` in which it can be seen, with as many before them; None where there are none."""
    start, stop = int(told["start"]), int(told["stop"])
    if not stop or told["split"] != "train":
        return None
    return max(1, start - max(stop - start, 50)), stop + max((stop - start) // 2, 25)


def link(base: str, told: Mapping[str, Any]) -> str:
    """The address of the run's page at the window of the alert."""
    query: dict[str, Any] = {"split": told["split"]} if told["split"] == "val" else {}
    if (steps := window(told)) is not None:
        query |= {"from": steps[0], "to": steps[1]}
    tail = f"?{urlencode(query)}" if query else ""
    return f"{base}/runs/{told['uid']}{tail}"


def as_json(alerts: Sequence[Mapping[str, Any]], base: str | None) -> bytes:
    """The generic body: ``{"source": "epochscope", "alerts": [{"id", "run", ..., "says", "link"}]}``."""
    return _body(
        {
            "source": "epochscope",
            "alerts": [
                {
                    "id": f"{told['uid']}-{told['alert_id']}",
                    "run": told["uid"],
                    "name": told["name"],
                    "project": told["project"],
                    "kind": told["kind"],
                    "class_name": told["class_name"] or None,
                    "output": told["output"] or None,
                    "split": told["split"],
                    "from": told["start"] or None,
                    "to": told["stop"] or None,
                    "found_ms": told["found_ms"],
                    "says": sentence(told),
                    "link": link(base, told) if base else None,
                }
                for told in alerts
            ],
        }
    )


def as_slack(alerts: Sequence[Mapping[str, Any]], base: str | None) -> bytes:
    """Slack's body, which Mattermost, Rocket.Chat and Discord's ``/slack`` take, too: plain text, nothing unfurled."""
    lines = []
    for told in alerts:
        line = f"{harmless(told['project'])} / {harmless(told['name'])}: {sentence(told, harmless)}."
        lines.append(f"{line} {link(base, told)}" if base else line)
    return _body({"text": "\n".join(lines), "mrkdwn": False, "unfurl_links": False, "unfurl_media": False})


def harmless(name: str) -> str:
    """A name as a chat shows it: no markup, no mention of anybody, no link with another text.

    Slack's three signs are escaped; a zero-width space behind an @ and within ``](`` unmakes what others read there.
    """
    plain = name.translate(_SLACK).replace("@", "@\u200b").replace("](", "]\u200b(")
    return plain.replace("://", ":\u200b//")


def example() -> dict[str, Any]:
    """An alert that never happened, for a test of webhooks."""
    return {
        "uid": "test", "alert_id": 0, "name": "test", "project": "test", "kind": "nan", "class_name": "",
        "output": "", "split": "train", "start": 1, "stop": 2, "found_ms": 0,
        "details": {"value": "NaN (this is a test, nothing has happened)", "by": "batch", "first": 1},
    }  # fmt: skip


def _body(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
