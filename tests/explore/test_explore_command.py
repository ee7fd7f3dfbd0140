"""`aether explore` as a user meets it: every picture in every format, and what it refuses."""

from __future__ import annotations

import base64
import json
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from explore.picture_models import full_blob, save_sessions

from aether_temporal import PatternSettings
from aether_temporal.cli import aether

pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")
pytestmark = pytest.mark.slow  # a picture takes about a second


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(aether, ["explore", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


class Place:
    """A folder with a model and recordings, and the pictures' commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model, self.data = folder / "model.rvne", save_sessions(folder / "set.npz")
        full_blob(PatternSettings(window=5, block_size=3, history=40)).save(self.model)
        self.before = sorted(folder.iterdir())

    def arguments(self, kind: str) -> list[object]:
        more: dict[str, list[object]] = {
            "attention": ["--recording", "b", "--query", 30, "--head", 1],
            "embeddings": ["--window", 20],
            "confusion": [],
            "drift": ["--window", 20],
        }
        return [kind, self.model, self.data, *more[kind]]

    def left_alone(self) -> bool:
        return sorted(self.folder.iterdir()) == self.before


KINDS = ["attention", "embeddings", "confusion", "drift"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Page(HTMLParser):
    """What a page asks for, and its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.cells = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        self.cells += tag == "td"


@pytest.mark.parametrize("kind", KINDS)
def test_every_format(place: Place, kind: str) -> None:
    from matplotlib.image import imread

    png, svg, html = (place.folder / f"a.{ending}" for ending in ("png", "SVG", "html"))
    said = call(*place.arguments(kind), "-o", png).stdout
    assert f"drawn to {png}" in said
    picture = imread(png)
    assert min(picture.shape[:2]) > 400
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50
    call(*place.arguments(kind), "-o", svg)
    assert ET.fromstring(svg.read_bytes()).tag == "{http://www.w3.org/2000/svg}svg"
    call(*place.arguments(kind), "-o", html)
    page = Page(html.read_text(encoding="utf-8"))
    assert len(page.links) == 1
    assert page.links[0].startswith("data:image/svg+xml;base64,")
    assert page.cells > 4
    assert "http://" not in html.read_text(encoding="utf-8")
    drawn = base64.b64decode(page.links[0].partition(",")[2])
    assert drawn == svg.read_bytes()  # drawn twice, the same bytes


@pytest.mark.parametrize("kind", KINDS)
def test_json(place: Place, kind: str) -> None:
    out = place.folder / "a.png"

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    document: dict[str, Any] = json.loads(
        call(*place.arguments(kind), "-o", out, "--json").stdout, parse_constant=refuse
    )
    assert document["picture"] == str(out)
    keys = {
        "attention": {"layers", "query", "answer", "difference_from_core"},
        "embeddings": {"windows", "persons", "rank1", "variance_shares"},
        "confusion": {"counts", "names", "accuracy", "balanced", "lag"},
        "drift": {"sessions", "unit", "window"},
    }
    assert keys[kind] <= set(document)
    assert out.stat().st_size > 10_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.pdf", "output: expected a file ending in .png, .svg, .html, found 'a.pdf'"),
        ("a", "expected a file ending in .png, .svg, .html"),
        ("no/a.png", "expected a file in a folder that is there"),
        ("folder.png", "expected a file, found a directory"),
    ],
)
def test_output_that_cannot_be(place: Place, kind: str, name: str, message: str) -> None:
    (place.folder / "folder.png").mkdir()
    place.before = sorted(place.folder.iterdir())
    assert message in call(*place.arguments(kind), "-o", place.folder / name, code=2).stderr
    assert place.left_alone()


@pytest.mark.parametrize("kind", KINDS)
def test_without_matplotlib(place: Place, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as when it is not installed
    assert "pip install 'aether-temporal[plot]'" in call(*place.arguments(kind), "-o", "a.png", code=2).stderr


@pytest.mark.parametrize("kind", ["confusion", "drift"])
def test_a_disk_that_is_full(place: Place, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture that was there stays whole, and nothing lies beside it."""
    out = place.folder / "a.png"
    out.write_bytes(b"before")
    place.before = sorted(place.folder.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert f"{out}: No space left on device" in call(*place.arguments(kind), "-o", out, code=2).stderr
    assert out.read_bytes() == b"before"
    assert place.left_alone()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attention", "MODEL", "DATA"], "holds 4 recordings, expected a choice"),
        (["attention", "MODEL", "DATA", "--recording", "a", "--query", 60], "query: expected a frame from 0 to 59"),
        (["attention", "MODEL", "DATA", "--recording", "a", "--layer", 2], "layer: expected 0 to 1, as the model has"),
        (
            ["attention", "MODEL", "DATA", "--recording", "a", "--head", 4],
            "head: expected 0 to 3, as the model has them",
        ),
        (["attention", "nothing", "DATA"], "expected a blob file or the name of a shipped model"),
        (["attention", "activity", "DATA", "--recording", "a"], "frame width: expected 56 features"),
        (["embeddings", "activity", "DATA"], "model: expected one with an embedding, found one without"),
        (["embeddings", "MODEL", "DATA", "--session", "wed"], "expected one of those there are (mon, tue)"),
        (["confusion", "MODEL", "nothing.npz"], "cannot be read: No such file"),
        (["drift", "MODEL", "DATA", "--session", "mon"], "at least two sessions, found mon alone"),
    ],
)
def test_refusals(place: Place, arguments: list[str], message: str) -> None:
    words = [{"MODEL": place.model, "DATA": place.data}.get(word, word) for word in arguments]
    assert message in call(*words, "-o", place.folder / "a.png", code=2).stderr
    assert place.left_alone()


def test_frames_with_nan_are_dropped_and_counted(place: Place) -> None:
    with np.load(place.data) as archive:
        amp = archive["amp"].copy()
    amp[[3, 70], 2] = np.nan
    save_sessions(place.data, amp=amp)
    out = place.folder / "a.html"
    assert "2 frames that could not be trusted were dropped" in call(*place.arguments("confusion"), "-o", out).stdout
    assert "2 frames that could not be trusted were dropped" in call(*place.arguments("drift"), "-o", out).stdout
    amp[:] = np.nan
    save_sessions(place.data, amp=amp)
    for kind in KINDS:
        place.before = sorted(place.folder.iterdir())
        call(*place.arguments(kind), "-o", place.folder / "b.png", code=2)
        assert place.left_alone()


def test_a_gallery_that_was_enrolled(place: Place) -> None:
    gallery, out = place.folder / "gallery.npz", place.folder / "a.png"
    enrolled = ["enroll", str(place.model), str(place.data), "--session", "mon", "-o", str(gallery)]
    assert CliRunner().invoke(aether, enrolled).exit_code == 0
    said = call("embeddings", place.model, gallery, place.data, "--session", "tue", "--window", 20, "-o", out).stdout
    assert "drawn to" in said
    call("embeddings", place.model, gallery, "-o", out)
    document = json.loads(
        call("confusion", place.model, place.data, "--session", "tue", "--enroll", gallery, "-o", out, "--json").stdout
    )
    assert document["names"] == ["ann", "ben"]
    document = json.loads(call("drift", place.model, place.data, "--enroll", gallery, "-o", out, "--json").stdout)
    assert document["answers"] == "persons"
    assert (
        "found a gallery"
        in call("embeddings", place.model, gallery, place.data, "--gallery-session", "mon", "-o", out, code=2).stderr
    )


def test_a_model_for_persons_has_no_answers_to_drift(place: Place) -> None:
    full_blob(PatternSettings(window=5, block_size=3, history=40), classifier=0).save(place.model)
    out = place.folder / "a.svg"
    assert "the model has no classifier: give a gallery" in call(*place.arguments("drift"), "-o", out).stdout
    document = json.loads(call(*place.arguments("drift"), "-o", out, "--json").stdout)
    assert [entry["confidence"] for entry in document["sessions"]] == [None, None]
    assert "the model answers" not in call(*place.arguments("attention"), "-o", out).stdout


def test_names_are_no_markup(place: Place) -> None:
    """Names that mean something to matplotlib, HTML or a terminal are text."""
    odd = ["<b>$x^2_$", "\x1b[31mred", "<b>$x^2_$", "\x1b[31mred"]
    save_sessions(place.data, rec_person=odd, rec_session=["$_$", "$_$", "<i>", "<i>"], rec_name=odd)
    out = place.folder / "a.html"
    for kind in KINDS:
        arguments = [word if word != "b" else 1 for word in place.arguments(kind)]
        said = call(*arguments, "-o", out).stdout
        assert "\x1b" not in said
        assert "<b>" not in out.read_text(encoding="utf-8")
        assert "<i>" not in out.read_text(encoding="utf-8")
        assert "\x1b" not in out.read_text(encoding="utf-8")


def test_real_recordings(recordings_dir: Path, tmp_path: Path) -> None:
    data = recordings_dir / "geotec_sessions_1_3.npz"
    sessions = ["--session", "1", "--session", "2"]
    document = json.loads(
        call("confusion", "activity", data, *sessions, "--window", 50, "-o", tmp_path / "a.svg", "--json").stdout
    )
    assert 0.8 < document["accuracy"] < 0.9
    document = json.loads(call("drift", "activity", data, *sessions, "-o", tmp_path / "a.svg", "--json").stdout)
    assert [entry["recordings"] for entry in document["sessions"]] == [4, 4]
