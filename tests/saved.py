"""What lies in a spool folder, read from its segments."""

from __future__ import annotations

from pathlib import Path

from epochscope import segments


def updates(root: Path) -> list[bytes]:
    """The whole frames under ``root``, acknowledged or not, in the order in which they were written."""
    found = []
    for path in sorted(root.rglob("*.seg")):
        data, salt = path.read_bytes(), segments.salt_of(path.parent.name)
        for record in segments.recover(data, salt).records:
            found.append(segments.unframe(data[record.start : record.stop], record.seq, salt))
    return found
