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
        (["drift", "MODEL", "DATA", "DATA"], "set.npz: expected each file once, found it twice"),
        (["confusion", "MODEL", "DATA", "--enroll-session", "mon"], "--enroll-session: expected with --enroll"),
        (["confusion", "MODEL", "DATA", "--lag", 99], "(sit, walk, turn), 99 frames before an answer, found none"),
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
    for kind, count in (("confusion", 2), ("drift", 2), ("attention", 1), ("embeddings", 2)):
        told = call(*place.arguments(kind), "-o", out).stdout
        assert f"Dropped, since it could not be trusted: {count} not_finite." in told
    amp[:] = np.nan
    save_sessions(place.data, amp=amp)
    for kind in KINDS:
        place.before = sorted(place.folder.iterdir())
        said = call(*place.arguments(kind), "-o", place.folder / "b.png", code=2).stderr
        assert "expected frames that a model can take, found none; dropped: 60 not_finite" in said
        assert str(place.data) in said
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
    both = ["--enroll", "zed=zed.npy", "--enroll", gallery]
    said = call("confusion", place.model, place.data, *both, "-o", out, code=2).stderr
    assert "--enroll: expected a gallery alone, or recordings" in said
    document = json.loads(call("drift", place.model, place.data, "--enroll", gallery, "-o", out, "--json").stdout)
    assert document["answers"] == "persons"
    assert (
        "found a gallery"
        in call("embeddings", place.model, gallery, place.data, "--gallery-session", "mon", "-o", out, code=2).stderr
    )


def test_a_model_for_persons_has_no_answers_to_drift(place: Place) -> None:
    full_blob(PatternSettings(window=5, block_size=3, history=40), classifier=0).save(place.model)
    out = place.folder / "a.svg"
    assert "The model has no classifier: give a gallery (--enroll)" in call(*place.arguments("drift"), "-o", out).stdout
    document = json.loads(call(*place.arguments("drift"), "-o", out, "--json").stdout)
    assert [entry["confidence"] for entry in document["sessions"]] == [None, None]
    assert "the model answers" not in call(*place.arguments("attention"), "-o", out).stdout


def drawn_words(place: Place, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[list[str], list[Any]]:
    """What stands in the picture of one call, and the texts of its axes and legends."""
    from matplotlib.text import Text

    from aether_temporal.explore import files

    figures: list[Any] = []
    real = files.write
    monkeypatch.setattr(files, "write", lambda picture, path: (figures.append(picture.figure), real(picture, path))[1])
    call(*arguments, "-o", place.folder / "words.png")
    (figure,) = figures
    found = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    return [text.get_text() for text in found], [figure, found]


def test_every_colour_of_a_strip_has_its_name(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a stretch is too narrow for its name, a legend has it."""
    labels = np.full(240, 0, dtype=np.int8)
    labels[[90, 100]] = 1, 2
    save_sessions(place.data, frame_activity=labels)
    words, _ = drawn_words(place, monkeypatch, *place.arguments("attention"))
    assert {"truth", "sit", "walk", "turn"} <= set(words)


def test_bursts_are_told_in_frames(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distance in frames is a time only where frames come evenly."""
    words, _ = drawn_words(place, monkeypatch, *place.arguments("attention"))
    assert {"layer 0\nseconds back", "seconds from the chosen frame"} <= set(words)
    even = np.tile(np.arange(60) / 50.0, 4)
    even[60:120] += np.repeat([0.0, 0.8], 30)
    save_sessions(place.data, rate_hz=None, t=even.astype(np.float32))
    words, _ = drawn_words(place, monkeypatch, *place.arguments("attention"))
    assert {"layer 0\nframes back", "frames from the chosen frame", "seconds"} <= set(words)


def test_persons_that_are_not_enrolled_are_named(place: Place) -> None:
    out = place.folder / "a.html"
    enrol = ["--enroll", f"cleo={place.data.parent / 'one.npy'}", "--enroll", f"ann={place.data.parent / 'one.npy'}"]
    with np.load(place.data) as archive:
        np.save(place.data.parent / "one.npy", archive["amp"][:60])
    said = call(*place.arguments("confusion"), *enrol, "-o", out).stdout
    assert "Not enrolled, and not counted: ben." in said
    assert "Not counted, since nothing is known of them: 2 recordings." in said
    document = json.loads(call(*place.arguments("confusion"), *enrol, "-o", out, "--json").stdout)
    assert (document["recordings"], document["recordings_counted"], document["unmatched_persons"]) == (4, 2, ["ben"])
    assert document["lag"] == 0  # a person is the same all the time
    said = call(*place.arguments("drift"), *enrol, "-o", out).stdout
    assert "Not enrolled, so neither right nor wrong: ben." in said


def test_one_frame_each(place: Place, recwarn: pytest.WarningsRecorder) -> None:
    """A picture with an axis that has a length, and no warning."""
    with np.load(place.data) as archive:
        save_sessions(place.data, amp=archive["amp"][:4], rec_offset=np.arange(5), frame_activity=np.zeros(4, np.int8))
    out = place.folder / "a.svg"
    call(*place.arguments("drift"), "-o", out)
    call("attention", place.model, place.data, "--recording", "b", "-o", out)
    assert [str(warning.message) for warning in recwarn] == []


def test_points_on_a_line(place: Place, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two windows of one person: the second axis has nothing to tell, and no digits to tell it with."""
    words, _ = drawn_words(
        place, monkeypatch, "embeddings", place.model, place.data, "--window", 60, "--session", "mon"
    )
    assert any(word.startswith("component 2") for word in words)
    assert max(map(len, words)) < 60
    assert [str(warning.message) for warning in recwarn] == []


def test_the_same_note_of_many_recordings_is_one(place: Place) -> None:
    """Each recording has a rate of its own, none of them the model's."""
    stamps = np.concatenate([np.arange(60) / rate for rate in (100, 110, 120, 50)]).astype(np.float32)
    save_sessions(place.data, rate_hz=None, t=stamps)
    for kind in ("confusion", "drift", "embeddings"):
        said = call(*place.arguments(kind), "-o", place.folder / "a.svg").stdout
        assert said.count("the model expects 50 frames a second") == 1
        assert "3 of 4 recordings, such as" in said


def test_names_in_any_script(place: Place, recwarn: pytest.WarningsRecorder) -> None:
    """They match themselves and nobody else; what the font lacks is said in one line."""
    save_sessions(place.data, rec_person=["日本", "Jörg", "日本", "Jürg"])
    out = place.folder / "a.html"
    said = call(*place.arguments("embeddings"), "-o", out).stdout
    assert "not enrolled: Jürg" in said
    assert "drawn as boxes, since the font lacks them: 日 本" in said
    assert "日本" in out.read_text(encoding="utf-8")
    assert [str(warning.message) for warning in recwarn] == []
    document = json.loads(call(*place.arguments("embeddings"), "-o", out, "--json").stdout)
    assert document["rank1"]["windows"] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_legends_are_inside_the_picture(place: Place, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.legend import Legend

    save_sessions(place.data, rec_person=["ann", "ben", "ann", "someone else"])  # the longest legend there is
    _, (figure, _) = drawn_words(place, monkeypatch, *place.arguments(kind))
    figure.draw_without_rendering()
    legends = figure.findobj(Legend)
    assert len(legends) == (kind != "confusion")
    for legend in legends:
        box = legend.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


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
