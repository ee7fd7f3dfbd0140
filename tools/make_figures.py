#!/usr/bin/env python3
"""Makes the pictures of the documentation with the package itself: `tools/make_figures.py [NAME ...]`.

They go to docs/figures. Needs the extra `plot`; the same version of matplotlib makes the same files. `live` needs the
extra `live`, selenium, chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import base64
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
import matplotlib.image
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image
from rich.console import Console

from aether_temporal import TemporalHeadConfig, TemporalModel
from aether_temporal._internal.figures import COLOURS
from aether_temporal.cli.listen_display import NodesTable
from aether_temporal.listening import Classification, PacketReceiver, RawFrame
from aether_temporal.listening.documents import take_snapshot
from aether_temporal.listening.engine import Status
from aether_temporal.live.state import LiveState
from aether_temporal.model import Dtype
from aether_temporal.recordings.node_packets import RawHeader
from aether_temporal.simulation import Room, simulate

OUT = Path(__file__).resolve().parent.parent / "docs" / "figures"
DTYPES: tuple[Dtype, ...] = ("float32", "float16")
FILLS = {"window": COLOURS[0], "log-stride": COLOURS[1], "global": COLOURS[3], "block mean": COLOURS[2]}


def save(figure: Figure, name: str) -> None:
    """As SVG without a date, so that the same picture is the same file."""
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path", "font.size": 9}):
        figure.savefig(OUT / f"{name}.svg", metadata={"Date": None})


def pattern() -> None:
    """What each query of 128 tokens sees, by the core; kinds are told apart by switching primitives off."""
    tokens = 128
    config = TemporalHeadConfig.default_aether()
    window = config.replace(global_tokens=(), use_log_stride=False, use_landmarks=False).mask(tokens).tokens
    with_global = config.replace(use_log_stride=False, use_landmarks=False).mask(tokens).tokens
    whole = config.mask(tokens)
    kinds = [window, whole.tokens & ~with_global, with_global & ~window]
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    picture = np.ones((tokens, tokens, 3))
    for seen, colour in zip(kinds, list(FILLS.values())[:3], strict=True):
        picture[seen] = mpl.colors.to_rgb(colour)
    left.imshow(picture, interpolation="nearest")
    left.set(xlabel="token", ylabel="query", title="single tokens")
    blocks = np.ones((tokens, tokens, 3))
    spread = np.repeat(whole.blocks, config.block_size, axis=1)[:, :tokens]
    blocks[spread] = mpl.colors.to_rgb(FILLS["block mean"])
    right.imshow(blocks, interpolation="nearest")
    right.set(xlabel="token, in blocks of 16", title="block means (landmarks)")
    handles = [Patch(color=colour, label=name) for name, colour in FILLS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    save(figure, "pattern")


def memory() -> None:
    """The memory of a stream of the bundled model `activity` on a 32-bit chip, over the context."""
    model = TemporalModel.from_blob("activity")
    contexts = [2**n for n in range(4, 11)]
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    axes = figure.subplots()
    for place, dtype in enumerate(DTYPES):
        found = [model.memory(context=n, dtype=dtype, pointer_bytes=4) for n in contexts]
        x = np.arange(len(contexts)) + 0.4 * place - 0.2
        state, scratch = ([getattr(each, part) / 1024 for each in found] for part in ("state", "scratch"))
        axes.bar(x, state, 0.36, color=COLOURS[place], label=f"state, {dtype} cache")
        axes.bar(x, scratch, 0.36, bottom=state, color="0.75", label="scratch" if place else None)
        for at, each in zip(x, found, strict=True):
            axes.annotate(f"{each.cache_rows}", (at, 0.3), ha="center", va="bottom", color="white", fontsize=8)
    axes.set_xticks(range(len(contexts)), [str(n) for n in contexts])
    axes.set(xlabel="context, frames (in the bars: rows that each layer keeps)", ylabel="RAM, KiB")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    save(figure, "memory")


def listen() -> None:
    """The table of `aether listen` after ten seconds of four simulated nodes, one of which has fallen silent."""
    model = TemporalModel.from_blob("activity")
    receiver = PacketReceiver()
    start, seconds = 1_700_000_000.0, 10
    draw = np.random.default_rng(1)
    for second in range(seconds):
        for node in range(1, 5):
            if node == 4 and second > 2:
                continue
            sequence = second + (2 if node == 3 and second > 5 else 0)  # two packets of node 3 are lost
            packet = Classification(
                node_id=node,
                n_classes=model.n_classes,
                ts_us=second * 1_000_000,
                sequence=sequence,
                argmax=(node + second // 5) % model.n_classes,
                top_logit=float(draw.uniform(2, 9)),
                margin=float(draw.uniform(0.5, 6)),
            )
            now = second + node / 10
            receiver.take(packet.to_bytes(), f"192.168.1.{20 + node}", 5005, start + now, now)
    receiver.take(b"not a packet", "192.168.1.77", 5005, start + seconds, seconds)
    out = Console(record=True, width=100, height=16, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    status = Status(take_snapshot(receiver, seconds + 0.5, 0), ("0.0.0.0", 5005), None)
    out.print(NodesTable(out, tuple(model.class_names or ())).render(status))
    out.save_svg(str(OUT / "listen.svg"), title="aether listen --model activity", unique_id="listen")


def live() -> None:
    """The page of `aether serve` on a desk and on a phone: an hour of three simulated nodes, by a browser."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    from aether_temporal.live.page_server import PageServer
    from aether_temporal.live.recording_desk import RecordingDesk

    now = [0.0]
    state = LiveState(("empty", "seated", "moving"), clock=lambda: now[0])
    receiver = PacketReceiver(on_arrival=state.arrived)
    draw = np.random.default_rng(1)
    page = PageServer(state, RecordingDesk(Path("recordings"), ("0.0.0.0", 5005)), "127.0.0.1", 0)
    classes = {node: np.clip(np.cumsum(draw.integers(-1, 2, 400)) // 2, 0, 2) for node in (1, 2, 3)}
    moving = dict.fromkeys(classes, 0.0)
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.get(page.url)
        for part in range(364):
            for frame in range(40):
                now[0] = 10.0 * part + frame / 50
                for node, found in classes.items():
                    moving[node] += 0.004 * float(found[part]) * (1 + 0.3 * np.sin(part + node))
                    _send_simulated(receiver, draw, node, 40 * part + frame, int(found[part]), moving[node], now[0])
                if frame % 10 == 9:
                    state.sinks[:] = [page] if part > 355 else []
                    state.show(Status(take_snapshot(receiver, now[0], 0), ("0.0.0.0", 5005), None, None, "activity"))
        _photograph(browser, state, receiver, now[0])
    finally:
        browser.quit()
        page.close()


def _send_simulated(
    receiver: PacketReceiver, draw: np.random.Generator, node: int, number: int, best: int, moved: float, now: float
) -> None:
    """A raw frame and a classification of a node; one raw frame in two hundred is lost."""
    across = np.linspace(0, 7, 64) + node
    amplitude = 45 + 18 * np.sin(across + moved) + 8 * np.sin(2.3 * across - 1.7 * moved) + draw.normal(0, 0.6, 64)
    values = np.zeros((64, 2), np.int8)
    values[:, 0] = amplitude * draw.uniform(0.9, 1.1)
    header = RawHeader(node, 1, 64, 2437, number, -41 - 7 * node, -92)
    if draw.random() > 0.005:
        receiver.take(RawFrame(header, values.tobytes()).to_bytes(), f"192.168.1.{20 + node}", 5005, 1.7e9 + now, now)
    said = Classification(node, 3, int(now * 1e6), number, best, 4.0, 2.0)
    receiver.take(said.to_bytes(), f"192.168.1.{20 + node}", 5005, 1.7e9 + now, now)


def _photograph(browser: Any, state: LiveState, receiver: PacketReceiver, now: float) -> None:
    """A desk in light and a phone in dark, side by side, as one PNG."""
    pictures = []
    for wide, high, scheme in ((1100, 800, "light"), (360, 800, "dark")):
        size = {"width": wide, "height": high, "deviceScaleFactor": 1, "mobile": wide < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme_asked = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme_asked})
        browser.get(browser.current_url)
        while not browser.execute_script(
            "return rows.length > 50 && document.querySelector('#link').className == 'on'"
        ):
            state.show(Status(take_snapshot(receiver, now, 0), ("0.0.0.0", 5005), None, None, "activity"))
            time.sleep(0.1)
        taken = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": size | {"x": 0, "y": 0, "scale": 1}})
        pictures.append(mpl.image.imread(io.BytesIO(base64.b64decode(taken["data"])))[..., :3])
    both = np.concatenate([pictures[0], np.ones((800, 20, 3)), pictures[1]], axis=1)
    colours = Image.fromarray((both * 255).round().astype(np.uint8)).quantize(224, dither=Image.Dither.NONE)
    colours.save(OUT / "live.png", optimize=True)


def aether(folder: Path, *arguments: str) -> None:
    """Runs a command of the package; its messages are shown when it fails."""
    command = [sys.executable, "-m", "aether_temporal", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"make_figures: {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")


def explore(kind: str, *options: str) -> None:
    """A picture of `aether explore` for the bundled model demo: four simulated rooms in two sessions."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lines = ["file,session"]
        for seed in range(1, 5):
            aether(folder, "demo", "--speed", "max", "--json", "--seed", str(seed), "--save", f"room{seed}.npz")
            lines.append(f"room{seed}.npz,{'monday' if seed < 3 else 'tuesday'}")
        (folder / "rooms.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        source = "room1.npz" if kind in ("recording", "attention") else "rooms.csv"
        model = [] if kind == "recording" else ["demo"]
        aether(folder, "explore", kind, *model, source, *options, "-o", str(OUT / f"explore-{kind}.png"))


def embeddings() -> None:
    """Eight simulated rooms as identities, each recorded twice; a model trained on them (torch)."""
    draw = np.random.default_rng(5)
    frames, names = [], []
    for name in "ABCDEFGH":
        room = Room.random(draw)
        for session in range(2):
            seed = int(draw.integers(2**31))
            script = [("walking", 12.0), ("still", 8.0)]
            frames.append(simulate(script, seed, room=room).frames)
            names.append((f"room {name}", session))
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        np.savez(
            folder / "rooms.npz",
            frames=np.concatenate(frames),
            rec_offset=np.cumsum([0, *map(len, frames)]),
            rec_subject=[name for name, _ in names],
            rec_session=[session for _, session in names],
            rate_hz=50.0,
        )
        train = ("--data", "rooms.npz", "--out", "rooms.rvne")
        aether(folder, "train", "reid", *train)
        place = str(OUT / "explore-embeddings.png")
        aether(folder, "explore", "embeddings", "rooms.rvne", "rooms.npz", "--window", "50", "-o", place)


FIGURES: dict[str, Callable[[], None]] = {
    "pattern": pattern,
    "memory": memory,
    "listen": listen,
    "live": live,
    "explore-recording": lambda: explore("recording"),
    "explore-attention": lambda: explore("attention", "--query", "600", "--layer", "1", "--head", "0", "--head", "1"),
    "explore-embeddings": embeddings,
    "explore-confusion": lambda: explore("confusion"),
    "explore-drift": lambda: explore("drift"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(FIGURES)}; default: all")
    names = parser.parse_args().names
    if unknown := set(names) - set(FIGURES):
        parser.error(f"expected names of {', '.join(FIGURES)}, found {', '.join(sorted(unknown))}")
    OUT.mkdir(exist_ok=True)
    for name in names or FIGURES:
        FIGURES[name]()
        (made,) = OUT.glob(f"{name}.*")
        print(f"{made.name}: {made.stat().st_size} bytes")


if __name__ == "__main__":
    main()
