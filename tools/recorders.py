#!/usr/bin/env python3
"""How much of recordings is read: frames read, of all frames in files, by format.

tools/recorders.py FILE …        files or folders; a Markdown table, of docs/recordings.md
tools/recorders.py --made        files as each recorder writes them, made for the purpose
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]

from recordings import making  # noqa: E402

from aether_temporal.recordings import Drop, RecordingError, open_file  # noqa: E402

NO_FRAMES = {Drop.OTHER_TEXT, Drop.OTHER_PACKET, Drop.OTHER_SENDER, Drop.DUPLICATE, Drop.GARBAGE}
"""Reasons that do not mean that a whole frame was lost."""


def made(folder: Path) -> Iterator[tuple[str, Path]]:
    """A file of each recorder of text, 500 frames with log output in between."""
    for name, line in making.RECORDERS.items():
        path = folder / f"{name}.csv"
        lines = (text for i in range(500) for text in (line(i), *(["I (9) wifi: log"] if i % 50 == 0 else [])))
        path.write_text("\n".join(lines) + "\n")
        yield name, path


def fraction(files: Iterable[Path]) -> tuple[int, int, int]:
    """Files, frames in them, and frames read."""
    count = read = lost = 0
    for path in files:
        count += 1
        try:
            file = open_file(path)
            recordings = list(file)
        except RecordingError as error:
            print(f"{error}", file=sys.stderr)
            continue
        read += sum(map(len, recordings))
        dropped = Counter(dict(recordings[0].dropped))
        dropped[str(Drop.OTHER_SHAPE)] = sum(one.dropped.get(str(Drop.OTHER_SHAPE), 0) for one in recordings)
        lost += sum(frames for reason, frames in dropped.items() if reason not in NO_FRAMES)
    return count, read + lost, read


def main() -> None:
    arguments = sys.argv[1:]
    if not arguments:
        sys.exit(__doc__)
    print("| recorder | files | frames | read |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        if arguments == ["--made"]:
            groups = [(name, [path]) for name, path in made(Path(folder))]
        else:
            places = map(Path, arguments)
            groups = [(str(p), sorted(p.rglob("*.*")) if p.is_dir() else [p]) for p in places]
        for name, files in groups:
            count, frames, read = fraction(files)
            print(f"| {name} | {count} | {frames} | {100 * read / max(1, frames):.1f} % |")


if __name__ == "__main__":
    main()
