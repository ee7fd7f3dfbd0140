"""`aether explore` on the command line: every picture in every format, and rejected input."""

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
pytestmark = [pytest.mark.slow, pytest.mark.memory]  # a picture takes about a second


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(aether, ["explore", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


class Setup:
    """A folder with a model and recordings, and the arguments that draw each picture from them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model, self.data = folder / "model.rvne", save_sessions(folder / "set.npz")
        full_blob(PatternSettings(window=5, block_size=3, history=40)).save(self.model)
        self.before = sorted(folder.iterdir())

    def arguments(self, kind: str) -> list[object]:
        more: dict[str, list[object]] = {
            "recording": ["--recording", "b"],
            "attention": ["--recording", "b", "--query", 30, "--head", 1],
            "embeddings": ["--window", 20],
            "confusion": [],
            "drift": ["--window", 20],
        }
        model = [] if kind == "recording" else [self.model]
        return [kind, *model, self.data, *more[kind]]

    def left_alone(self) -> bool:
        return sorted(self.folder.iterdir()) == self.before


KINDS = ["recording", "attention", "embeddings", "confusion", "drift"]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


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
def test_every_format(setup: Setup, kind: str) -> None:
    from matplotlib.image import imread

    png, svg, html = (setup.folder / f"a.{ending}" for ending in ("png", "SVG", "html"))
    said = call(*setup.arguments(kind), "-o", png).stdout
    assert f"wrote {png}" in said
    picture = imread(png)
    assert min(picture.shape[:2]) > 400
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50
    call(*setup.arguments(kind), "-o", svg)
    assert ET.fromstring(svg.read_bytes()).tag == "{http://www.w3.org/2000/svg}svg"
    call(*setup.arguments(kind), "-o", html)
    page = Page(html.read_text(encoding="utf-8"))
    assert len(page.links) == 1
    assert page.links[0].startswith("data:image/svg+xml;base64,")
    assert page.cells > 4
    assert "http://" not in html.read_text(encoding="utf-8")
    drawn = base64.b64decode(page.links[0].partition(",")[2])
    assert drawn == svg.read_bytes()  # drawn twice, the same bytes


@pytest.mark.parametrize("kind", KINDS)
def test_json(setup: Setup, kind: str) -> None:
    out = setup.folder / "a.png"

    def reject(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    document: dict[str, Any] = json.loads(
        call(*setup.arguments(kind), "-o", out, "--json").stdout, parse_constant=reject
    )
    assert document["picture"] == str(out)
    keys = {
        "recording": {"frames", "timing", "classes", "dead", "warnings"},
        "attention": {"layers", "query", "prediction", "difference_from_core"},
        "embeddings": {"gallery", "probe", "identities", "rank1", "variance_shares"},
        "confusion": {"counts", "names", "accuracy", "balanced_accuracy", "label_delay"},
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
        ("no/a.png", "expected a file in an existing folder"),
        ("folder.png", "expected a file, found a directory"),
    ],
)
def test_rejects_output(setup: Setup, kind: str, name: str, message: str) -> None:
    (setup.folder / "folder.png").mkdir()
    setup.before = sorted(setup.folder.iterdir())
    assert message in call(*setup.arguments(kind), "-o", setup.folder / name, code=2).stderr
    assert setup.left_alone()


@pytest.mark.parametrize("kind", KINDS)
def test_without_matplotlib(setup: Setup, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as when it is not installed
    assert "pip install matplotlib" in call(*setup.arguments(kind), "-o", "a.png", code=2).stderr


@pytest.mark.parametrize("kind", ["confusion", "drift"])
def test_full_disk_leaves_the_old_picture(setup: Setup, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old picture stays whole, and no temporary file remains."""
    out = setup.folder / "a.png"
    out.write_bytes(b"before")
    setup.before = sorted(setup.folder.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert f"{out}: No space left on device" in call(*setup.arguments(kind), "-o", out, code=2).stderr
    assert out.read_bytes() == b"before"
    assert setup.left_alone()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attention", "MODEL", "DATA"], "expected an index or a name, found none for 4 recordings"),
        (["attention", "MODEL", "DATA", "--recording", "a", "--query", 60], "query: expected a frame from 0 to 59"),
        (["attention", "MODEL", "DATA", "--recording", "a", "--layer", 2], "layer: expected 0 to 1, as the model has"),
        (
            ["attention", "MODEL", "DATA", "--recording", "a", "--head", 4],
            "head: expected 0 to 3, as the model has them",
        ),
        (["attention", "nothing", "DATA"], "expected a blob file or the name of a bundled model"),
        (["attention", "activity", "DATA", "--recording", "a"], "set.npz:a: frame width: expected 56 features a frame"),
        (["embeddings", "activity", "DATA"], "model: expected a model with an embedding, found one without"),
        (
            ["embeddings", "MODEL", "DATA", "--session", "wed"],
            "session: expected one of those there are (mon, tue), found wed",
        ),
        (["confusion", "MODEL", "nothing.npz"], "nothing.npz: expected a file that can be read, found: No such file"),
        (["drift", "MODEL", "DATA", "--session", "mon"], "at least two sessions, found mon alone"),
        (["drift", "MODEL", "DATA", "DATA"], "set.npz: expected each file once, found it again; name it once"),
    ],
)
def test_rejects(setup: Setup, arguments: list[str], message: str) -> None:
    words = [{"MODEL": setup.model, "DATA": setup.data}.get(word, word) for word in arguments]
    assert message in call(*words, "-o", setup.folder / "a.png", code=2).stderr
    assert setup.left_alone()


def test_frames_with_nan_are_dropped_and_counted(setup: Setup) -> None:
    with np.load(setup.data) as archive:
        amp = archive["amp"].copy()
    amp[[3, 70], 2] = np.nan
    save_sessions(setup.data, amp=amp)
    out = setup.folder / "a.html"
    for kind, count in (("confusion", 2), ("drift", 2), ("attention", 1), ("embeddings", 2)):
        told = call(*setup.arguments(kind), "-o", out).stdout
        assert f"Dropped as unusable: {count} not_finite." in told
    amp[:] = np.nan
    save_sessions(setup.data, amp=amp)
    for kind in KINDS:
        setup.before = sorted(setup.folder.iterdir())
        said = call(*setup.arguments(kind), "-o", setup.folder / "b.png", code=2).stderr
        assert "expected frames that a model can take, found none; dropped: 60 not_finite" in said
        assert str(setup.data) in said
        assert setup.left_alone()


def test_stored_gallery(setup: Setup) -> None:
    gallery, out = setup.folder / "gallery.npz", setup.folder / "a.png"
    enrolled = ["enroll", str(setup.model), str(setup.data), "--session", "mon", "-o", str(gallery)]
    assert CliRunner().invoke(aether, enrolled).exit_code == 0
    said = call("embeddings", setup.model, gallery, setup.data, "--session", "tue", "--window", 20, "-o", out).stdout
    assert "wrote" in said
    call("embeddings", setup.model, gallery, "-o", out)
    document = json.loads(
        call("confusion", setup.model, setup.data, "--session", "tue", "--enroll", gallery, "-o", out, "--json").stdout
    )
    assert document["names"] == ["ann", "ben"]
    both = ["--enroll", "zed=zed.npy", "--enroll", gallery]
    said = call("confusion", setup.model, setup.data, *both, "-o", out, code=2).stderr
    assert "--enroll: expected one gallery or recordings" in said
    document = json.loads(call("drift", setup.model, setup.data, "--enroll", gallery, "-o", out, "--json").stdout)
    assert document["predictions"] == "identities"
    assert (
        "--gallery-session: expected without a gallery file"
        in call("embeddings", setup.model, gallery, setup.data, "--gallery-session", "mon", "-o", out, code=2).stderr
    )


def test_drift_without_a_classifier_has_no_confidence(setup: Setup) -> None:
    full_blob(PatternSettings(window=5, block_size=3, history=40), classifier=0).save(setup.model)
    out = setup.folder / "a.svg"
    assert (
        "The model has no classifier: name a gallery with --enroll" in call(*setup.arguments("drift"), "-o", out).stdout
    )
    document = json.loads(call(*setup.arguments("drift"), "-o", out, "--json").stdout)
    assert [entry["confidence"] for entry in document["sessions"]] == [None, None]
    assert "prediction" not in call(*setup.arguments("attention"), "-o", out).stdout


def drawn_words(setup: Setup, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[list[str], list[Any]]:
    """The texts in the picture of one call, and the figure with its text objects."""
    from matplotlib.text import Text

    from aether_temporal._internal import figures as drawing

    figures: list[Any] = []
    real = drawing.write
    monkeypatch.setattr(
        drawing, "write", lambda picture, path: (figures.append(picture.figure), real(picture, path))[1]
    )
    call(*arguments, "-o", setup.folder / "words.png")
    (figure,) = figures
    found = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    return [text.get_text() for text in found], [figure, found]


def test_every_colour_of_a_strip_has_a_name(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """The legend names a class whose spans are too narrow for its name."""
    labels = np.full(240, 0, dtype=np.int8)
    labels[[90, 100]] = 1, 2
    save_sessions(setup.data, frame_activity=labels)
    words, _ = drawn_words(setup, monkeypatch, *setup.arguments("attention"))
    assert {"label", "sit", "walk", "turn"} <= set(words)


def test_uneven_frames_are_drawn_by_index(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distance in frames is a time only if frames come evenly."""
    words, _ = drawn_words(setup, monkeypatch, *setup.arguments("attention"))
    assert {"layer 0\nseconds back", "seconds from the chosen frame"} <= set(words)
    even = np.tile(np.arange(60) / 50.0, 4)
    even[60:120] += np.repeat([0.0, 0.8], 30)
    save_sessions(setup.data, rate_hz=None, t=even.astype(np.float32))
    words, _ = drawn_words(setup, monkeypatch, *setup.arguments("attention"))
    assert {"layer 0\nframes back", "frames from the chosen frame", "seconds"} <= set(words)


def test_identities_that_are_not_enrolled_are_named(setup: Setup) -> None:
    out = setup.folder / "a.html"
    enrol = [
        "--enroll",
        f"cleo={setup.data.parent / 'one.npy'}",
        "--enroll",
        f"ann={setup.data.parent / 'one.npy'}",
    ]
    with np.load(setup.data) as archive:
        np.save(setup.data.parent / "one.npy", archive["amp"][:60])
    said = call(*setup.arguments("confusion"), *enrol, "-o", out).stdout
    assert "Not enrolled, and not counted: ben." in said
    assert "Not counted, for lack of labels: 2 recordings." in said
    document = json.loads(call(*setup.arguments("confusion"), *enrol, "-o", out, "--json").stdout)
    assert (document["recordings"], document["recordings_counted"], document["unmatched_identities"]) == (4, 2, ["ben"])
    assert document["label_delay"] == 0  # an identity does not change over time
    said = call(*setup.arguments("drift"), *enrol, "-o", out).stdout
    assert "Not enrolled, so without a label: ben." in said


def test_one_frame_each(setup: Setup, recwarn: pytest.WarningsRecorder) -> None:
    """Axes still have a length, and nothing warns."""
    with np.load(setup.data) as archive:
        save_sessions(setup.data, amp=archive["amp"][:4], rec_offset=np.arange(5), frame_activity=np.zeros(4, np.int8))
    out = setup.folder / "a.svg"
    call(*setup.arguments("drift"), "-o", out)
    call("attention", setup.model, setup.data, "--recording", "b", "-o", out)
    assert [str(warning.message) for warning in recwarn] == []


def test_points_on_a_line(setup: Setup, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two windows of one identity: the second axis spans rounding alone, and its labels stay short."""
    words, _ = drawn_words(
        setup, monkeypatch, "embeddings", setup.model, setup.data, "--window", 60, "--session", "mon"
    )
    assert any(word.startswith("component 2") for word in words)
    assert max(map(len, words)) < 60
    assert [str(warning.message) for warning in recwarn] == []


def test_notes_of_many_recordings_are_merged(setup: Setup) -> None:
    """Four recordings with four frame rates, three of them not the model's."""
    stamps = np.concatenate([np.arange(60) / rate for rate in (100, 110, 120, 50)]).astype(np.float32)
    save_sessions(setup.data, rate_hz=None, t=stamps)
    for kind in ("confusion", "drift", "embeddings"):
        said = call(*setup.arguments(kind), "-o", setup.folder / "a.svg").stdout
        assert said.count("the model expects 50 frames a second") == 1
        assert "3 of 4 recordings, such as" in said


def test_names_in_any_script(setup: Setup, recwarn: pytest.WarningsRecorder) -> None:
    """Names match themselves alone; one line lists the characters that the font lacks."""
    save_sessions(setup.data, rec_subject=["日本", "Jörg", "日本", "Jürg"])
    out = setup.folder / "a.html"
    said = call(*setup.arguments("embeddings"), "-o", out).stdout
    assert "not enrolled: Jürg" in said
    assert "drawn as boxes, since the font lacks them: 日 本" in said
    assert "日本" in out.read_text(encoding="utf-8")
    assert [str(warning.message) for warning in recwarn] == []
    document = json.loads(call(*setup.arguments("embeddings"), "-o", out, "--json").stdout)
    assert document["rank1"]["windows"] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_legends_are_inside_the_picture(setup: Setup, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.legend import Legend

    save_sessions(setup.data, rec_subject=["ann", "ben", "ann", "someone else"])  # the longest legend
    _, (figure, _) = drawn_words(setup, monkeypatch, *setup.arguments(kind))
    figure.draw_without_rendering()
    legends = figure.findobj(Legend)
    assert len(legends) == {"attention": 2, "confusion": 0, "recording": 0}.get(kind, 1)
    for legend in legends:
        box = legend.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_names_are_not_markup(setup: Setup) -> None:
    """Names that are markup to matplotlib, HTML or a terminal are shown as text."""
    odd = ["<b>$x^2_$", "\x1b[31mred", "<b>$x^2_$", "\x1b[31mred"]
    save_sessions(setup.data, rec_subject=odd, rec_session=["$_$", "$_$", "<i>", "<i>"], rec_name=odd)
    out = setup.folder / "a.html"
    for kind in KINDS:
        arguments = [word if word != "b" else 1 for word in setup.arguments(kind)]
        said = call(*arguments, "-o", out).stdout
        assert "\x1b" not in said
        assert "<b>" not in out.read_text(encoding="utf-8")
        assert "<i>" not in out.read_text(encoding="utf-8")
        assert "\x1b" not in out.read_text(encoding="utf-8")


def test_recorded_sessions(recordings_dir: Path, tmp_path: Path) -> None:
    data = recordings_dir / "geotec_sessions_1_3.npz"
    sessions = ["--session", "1", "--session", "2"]
    document = json.loads(
        call("confusion", "activity", data, *sessions, "--window", 50, "-o", tmp_path / "a.svg", "--json").stdout
    )
    assert 0.8 < document["accuracy"] < 0.9
    document = json.loads(call("drift", "activity", data, *sessions, "-o", tmp_path / "a.svg", "--json").stdout)
    assert [entry["recordings"] for entry in document["sessions"]] == [4, 4]


def test_a_recording_is_drawn_by_the_chip_that_is_stated(tmp_path: Path) -> None:
    pairs = np.random.default_rng(1).integers(-60, 60, (80, 64, 2)).astype(np.int8)
    np.savez(tmp_path / "x.npz", iq=pairs)
    plain, stated = (
        json.loads(call("recording", tmp_path / "x.npz", "--out", tmp_path / "x.svg", *told, "--json").output)["layout"]
        for told in ((), ("--chip", "esp32s3"))
    )
    assert plain is None
    assert stated == "0..31,-32..-1"
