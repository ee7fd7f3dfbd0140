"""Golden vectors: all bits, in every kernel variant, thread count and floating-point environment; through the C runner,
and through the Python interface with the reference's own reading of the files."""

from __future__ import annotations

import ctypes
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import make_golden
from golden_cases import attention, pyramid
from reference.golden_file import Case, Kernel, Words, decode, encode

import aether_temporal as at
from aether_temporal import errors
from aether_temporal.host.golden import GoldenReport, run_golden

HERE = Path(__file__).resolve().parent
FILES = {path.stem: path.read_bytes() for path in sorted((HERE / "golden").glob("*.agv"))}
FORWARD, STEP, PREFILL = 1, 4, 8

Floats = npt.NDArray[np.float32]


CASES = {name: decode(data) for name, data in FILES.items()}


def _cases(kernel: Kernel) -> list[Case]:
    return [case for cases in CASES.values() for case in cases if case.kernel == kernel]


# -- floating-point environments -----------------------------------------------------------------------

Mode = tuple[str, int]
MODES: dict[str, list[Mode]] = {  # bits on top of the standard environment
    "x86_64": [("flush-to-zero", 0x8040), ("toward-zero", 0x6000), ("upward-and-flush", 0xC040)],
    "aarch64": [("flush-to-zero", 1 << 24), ("toward-zero", 3 << 22), ("upward-and-flush", (1 << 24) | (1 << 22))],
}
MODES["AMD64"], MODES["arm64"] = MODES["x86_64"], MODES["aarch64"]
ENVIRONMENTS: list[Mode] = [("standard", 0), *MODES.get(platform.machine(), [])]
# Python's objects pass arrays on; what an environment may change is the core, which the C runner tests in each.
IN_PYTHON = [
    pytest.param(mode, marks=[] if mode[0] in ("standard", "upward-and-flush") else [pytest.mark.slow])
    for mode in ENVIRONMENTS
]


# Reads and writes the floating-point control register of the calling thread.
FPMODE = r"""
#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
uint64_t fpmode_get(void) { return _mm_getcsr(); }
void fpmode_set(uint64_t mode) { _mm_setcsr((unsigned)mode); }
#elif defined(__aarch64__)
uint64_t fpmode_get(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
void fpmode_set(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#endif
"""


@cache
def _control_register() -> ctypes.CDLL:
    """Reads and writes the calling thread's floating-point control register."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform == "win32":
        pytest.skip("floating-point environments: no C compiler here to reach the control register with")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = Path(folder) / "fpmode.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", str(library), "-x", "c", "-"], input=FPMODE.encode(), check=True
        )
        functions = ctypes.CDLL(str(library))
    functions.fpmode_get.restype = ctypes.c_uint64
    functions.fpmode_set.argtypes = [ctypes.c_uint64]
    functions.fpmode_set.restype = None
    return functions


@contextmanager
def fpmode(bits: int) -> Iterator[None]:
    """The calling thread's floating-point environment with some more bits set; 0: as it is."""
    if bits == 0:
        yield
        return
    functions = _control_register()
    before = functions.fpmode_get()
    functions.fpmode_set(before | bits)
    try:
        yield
        assert functions.fpmode_get() & ~0x3F == (before | bits) & ~0x3F, "a call changed the caller's environment"
    finally:
        functions.fpmode_set(before)


# -- the files -----------------------------------------------------------------------------------------------


def test_files_are_there_and_small() -> None:
    assert set(FILES) == set(make_golden.FILES)
    assert sum(map(len, FILES.values())) < 465_000


SLOW_GROUPS = {
    attention.length_cases,
    attention.switch_cases,
    attention.shape_cases,
    pyramid.length_cases,
    pyramid.shape_cases,
}


@pytest.mark.parametrize(
    ("name", "group"),
    [
        pytest.param(
            name, group, id=f"{name}-{group.__name__}", marks=[pytest.mark.slow] if group in SLOW_GROUPS else []
        )
        for name, groups in make_golden.FILES.items()
        for group in groups
    ],
)
def test_reference_makes_the_committed_cases(name: str, group: Callable[[], list[Case]]) -> None:
    """`tools/make_golden.py --check` compares the files as a whole."""
    made = make_golden.checked(group)
    first = [case.name for case in CASES[name]].index(made[0].name)
    assert encode(made) == encode(CASES[name][first : first + len(made)]), (
        f"tests/golden/{name}.agv: run tools/make_golden.py and say why in the commit"
    )


@pytest.mark.parametrize("name", sorted(FILES))
def test_files_are_well_formed(name: str) -> None:
    assert encode(CASES[name]) == FILES[name]
    names = [case.name for case in CASES[name]]
    assert len(set(names)) == len(names)


def test_every_kernel_has_cases() -> None:
    assert {case.kernel for cases in CASES.values() for case in cases} == set(Kernel)


# -- the C runner ----------------------------------------------------------------------------------------------


def _assert_passed(report: GoldenReport) -> None:
    assert not report.failures, "\n".join(map(str, report.failures[:20]))
    assert report.cases == len(CASES[report.file]) == len({check.case for check in report.checks})


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda mode: str(mode[0]))
def test_runner(name: str, variant: str, environment: Mode) -> None:
    with fpmode(environment[1]):
        report = run_golden(FILES[name], kernels=variant, file=name)
    _assert_passed(report)


def test_floating_point_environments_take_effect() -> None:
    tiny, standard = np.float32(1e-40), [np.float32(n) / np.float32(11) for n in range(1, 11)]
    for name, bits in ENVIRONMENTS[1:]:
        with fpmode(bits):
            flushed, quotients = tiny * np.float32(1), [np.float32(n) / np.float32(11) for n in range(1, 11)]
            flushed_to_zero = flushed == 0
        assert flushed_to_zero == ("flush" in name), name
        assert (quotients != standard) == (name != "flush-to-zero"), name


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda mode: str(mode[0]))
def test_inputs_that_are_converted(environment: Mode) -> None:
    """Other types become binary32 in the standard environment too."""
    head = at.AetherTemporalHead(at.TemporalHeadConfig())
    rng = np.random.default_rng(7)
    q, k, v = (rng.standard_normal((40, heads, 32)) * scale for heads, scale in ((4, 1.0), (1, 1.0), (1, 1e-39)))
    expected = head.forward(*(x.astype(np.float32) for x in (q, k, v))).tobytes()
    with fpmode(environment[1]):
        got = head.forward(q, k, v).tobytes()
    assert got == expected


def _change(data: bytes, at_byte: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[at_byte] ^= 1 << bit
    return bytes(changed)


def test_runner_finds_each_wrong_word() -> None:
    """Each stored word of a case, and the CRC over the others, is really compared."""
    data = FILES["kernels"]
    at_byte = 16
    for case in CASES["kernels"]:
        size = int.from_bytes(data[at_byte : at_byte + 4], "little")
        places = [at_byte + 31] if case.n_out else []  # the CRC over all words
        if case.stored:
            places += [at_byte + size - 4 * len(case.stored), at_byte + size - 1]
        for place in places:
            changed = _change(data[:-4], place, 6)
            report = run_golden(changed + struct.pack("<I", zlib.crc32(changed)))
            assert {check.case for check in report.failures} == {case.name}
        at_byte += size
    assert at_byte == len(data) - 4


def test_damaged_files_are_rejected() -> None:
    data = FILES["kernels"]
    for place in [*range(64), *range(64, len(data), 997), len(data) - 1]:
        with pytest.raises(errors.GoldenFileError):
            run_golden(_change(data, place, place % 8))
    for length in (0, 3, 4, 16, 20, len(data) - 4, len(data) - 1):
        with pytest.raises(errors.GoldenFileError):
            run_golden(data[:length])


def test_a_file_with_wrong_bounds_is_rejected() -> None:
    """Sizes inside a case that lead out of it, the CRC corrected."""
    data = FILES["kernels"]
    size = int.from_bytes(data[16:20], "little")
    for word in (0, 3, 4, 5):
        for value in (0, 1, size // 4, size, size + 4, 0x7FFFFFFC, 0xFFFFFFFF):
            if int.from_bytes(data[16 + 4 * word : 20 + 4 * word], "little") in (value, value // 4 * 4):
                continue
            body = data[: 16 + 4 * word] + struct.pack("<I", value) + data[20 + 4 * word : -4]
            with pytest.raises(errors.GoldenFileError):
                run_golden(body + struct.pack("<I", zlib.crc32(body)))


# -- the Python interface ----------------------------------------------------------------------------------------


def _rejection(status: str) -> type[errors.TemporalError]:
    return errors.BY_STATUS_NAME[status]


def _status_of(error: errors.TemporalError) -> str:
    return next(name for name, kind in errors.BY_STATUS_NAME.items() if kind is type(error))


def _config_of(case: Case) -> at.TemporalHeadConfig:
    """The configuration at the front of the parameters."""
    p = case.params
    globals_ = p[len(p) - p[13] :]
    return at.TemporalHeadConfig(
        backend="dense" if p[0] == 1 else "sparse_gqa",
        pattern="pyramid" if p[0] == 2 else "reference",
        q_heads=p[1],
        kv_heads=p[2],
        head_dim=p[3],
        window=p[4] | p[5] << 32,
        block_size=p[6] | p[7] << 32,
        history=p[8] | p[9] << 32 or None,
        causal=bool(p[10]),
        use_log_stride=bool(p[11]),
        use_landmarks=bool(p[12]),
        global_tokens=(*reversed(globals_), *globals_),  # in any order and more than once
    )


class AttentionCase:
    """An attention case as the Python interface takes it."""

    def __init__(self, case: Case) -> None:
        p = case.params
        self.case, self.tokens, self.half, self.ring, self.ways = case, p[14], bool(p[15]), bool(p[17]), p[18]
        self.capacity = p[16] or p[14] or 1
        self.dtype: Any = "float16" if self.half else "float32"
        self.config = _config_of(case)
        shapes = [(self.tokens, heads, p[3]) for heads in (p[1], p[2], p[2])]
        self.q, self.k, self.v = (
            i.words().view(np.float32).reshape(s) for i, s in zip(case.inputs, shapes, strict=True)
        )

    def limited(self) -> at.TemporalHeadConfig:
        """With the history that a cache of this capacity has."""
        if not self.case.params[16]:
            return self.config
        history = min(self.config.history or self.capacity, self.capacity)
        least = self.config.window + 1 if self.config.pattern == "pyramid" else 1
        return self.config.replace(history=max(history, least))


ATTENTION = [AttentionCase(case) for case in _cases(Kernel.ATTENTION)]


def _bits(values: Any) -> Words:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).ravel()


def _check_forward(variant: str, threads: int) -> list[str]:
    wrong = []
    for a in (a for a in ATTENTION if a.ways & FORWARD):
        head = at.AetherTemporalHead(a.limited(), kernels=variant)
        if a.case.status == "OK":
            wrong += a.case.differences(_bits(head.forward(a.q, a.k, a.v, threads=threads, dtype=a.dtype)))
        else:
            with pytest.raises(_rejection(a.case.status)):
                head.forward(a.q, a.k, a.v, threads=threads, dtype=a.dtype)
    return wrong


THREADS = [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(5, marks=pytest.mark.slow)]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("environment", IN_PYTHON, ids=lambda mode: str(mode[0]))
def test_forward(variant: str, threads: int, environment: Mode) -> None:
    with fpmode(environment[1]):
        wrong = _check_forward(variant, threads)
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("threads", THREADS)
def test_forward_of_a_batch(variant: str, threads: int) -> None:
    wrong = []
    for a in (a for a in ATTENTION if a.ways & FORWARD and a.case.status == "OK" and a.tokens):
        head = at.AetherTemporalHead(a.limited(), kernels=variant)
        batch = [np.stack([x, x[::-1], x]) for x in (a.q, a.k, a.v)]
        out = head.forward(*batch, threads=threads, dtype=a.dtype)
        wrong += a.case.differences(_bits(out[0])) + a.case.differences(_bits(out[2]))
    assert not wrong, "\n".join(wrong[:20])


def _check_steps(variant: str) -> list[str]:
    wrong = []
    for a in (a for a in ATTENTION if a.ways & STEP):
        head = at.AetherTemporalHead(a.config, kernels=variant)
        cache = head.make_cache(a.capacity, a.dtype, "ring" if a.ring else "error")
        rows: list[Any] = []
        status = "OK"
        for t in range(a.tokens):
            try:
                rows.append(head.step(a.q[t : t + 1], a.k[t : t + 1], a.v[t : t + 1], cache))
            except errors.TemporalError as error:
                status = _status_of(error)
                break
        if status != a.case.status:
            wrong.append(f"{a.case.name}: {status}, expected {a.case.status}")
        wrong += a.case.differences(_bits(np.concatenate(rows)) if rows else _bits([]))
    return wrong


@pytest.mark.parametrize("environment", IN_PYTHON, ids=lambda mode: str(mode[0]))
def test_step(variant: str, environment: Mode) -> None:
    with fpmode(environment[1]):
        wrong = _check_steps(variant)
    assert not wrong, "\n".join(wrong[:20])


def test_prefill_then_steps(variant: str) -> None:
    wrong = []
    for a in (a for a in ATTENTION if a.ways & PREFILL and a.case.status == "OK" and a.tokens > 1):
        head = at.AetherTemporalHead(a.config, kernels=variant)
        cache = head.make_cache(a.capacity, a.dtype, "ring" if a.ring else "error")
        cut = a.tokens // 2
        rows = [head.prefill(a.q[:cut], a.k[:cut], a.v[:cut], cache)]
        rows += [head.step(a.q[t : t + 1], a.k[t : t + 1], a.v[t : t + 1], cache) for t in range(cut, a.tokens)]
        wrong += a.case.differences(_bits(np.concatenate(rows)))
    assert not wrong, "\n".join(wrong[:20])


def test_saved_caches() -> None:
    for case in _cases(Kernel.CACHE_STATE):
        a = AttentionCase(case)
        cache = at.AetherTemporalHead(a.config).make_cache(a.capacity, a.dtype, "ring" if a.ring else "error")
        cache.append(a.k, a.v)
        raw = cache.to_bytes()
        assert not case.differences(np.frombuffer(raw, dtype="<u4"))
        assert at.KvCache.from_bytes(raw).to_bytes() == raw


def test_edge_counts() -> None:
    for case in _cases(Kernel.PATTERN):
        count = case.stored[-2] | case.stored[-1] << 32
        assert at.estimate_sparse_edges(case.params[15], _config_of(case)) == count, case.name


class ModelCase:
    """A model case as the Python interface takes it."""

    def __init__(self, case: Case) -> None:
        p = case.params
        self.case = case
        self.blob = case.inputs[0].words().astype("<u4").tobytes()[: p[0]]
        self.frames: Floats = case.inputs[1].words().view(np.float32).reshape(p[1], p[2])
        self.runs: list[tuple[int, Any]] = [
            (context, "float16" if half else "float32") for context, half in zip(p[6::2], p[7::2], strict=True)
        ]


MODELS = [ModelCase(case) for case in _cases(Kernel.MODEL)]  # made here, in the standard environment


def _check_models(variant: str) -> list[str]:
    wrong = []
    for m in MODELS:
        case, frames, model = m.case, m.frames, at.TemporalModel.from_blob(m.blob, kernels=variant)
        status = "OK"
        streamed: list[Any] = []
        whole: list[Any] = []
        for context, dtype in m.runs:
            stream = model.stream(context, dtype)
            try:
                for frame in frames:
                    streamed += [stream.push(frame), *([stream.embedding] if model.embed_dim else [])]
            except errors.TemporalError as error:
                status = _status_of(error)
            if case.status == "OK":
                logits = model.forward(frames, context, dtype)
                both = (logits, model.embeddings(frames, context, dtype)) if model.embed_dim else (logits,)
                whole += [part[t] for t in range(len(frames)) for part in both]
            else:
                with pytest.raises(_rejection(case.status)):
                    model.forward(frames, context, dtype)
        if status != case.status:
            wrong.append(f"{case.name}: {status}, expected {case.status}")
        wrong += case.differences(_bits(np.concatenate(streamed)))
        wrong += case.differences(_bits(np.concatenate(whole))) if case.status == "OK" else []
    return wrong


@pytest.mark.parametrize("environment", IN_PYTHON, ids=lambda mode: str(mode[0]))
def test_models(variant: str, environment: Mode) -> None:
    with fpmode(environment[1]):
        wrong = _check_models(variant)
    assert not wrong, "\n".join(wrong[:20])


def test_saved_streams() -> None:
    for m in map(ModelCase, _cases(Kernel.STREAM_STATE)):
        model, ((context, dtype),) = at.TemporalModel.from_blob(m.blob), m.runs
        stream = model.stream(context, dtype)
        for frame in m.frames:
            stream.push(frame)
        raw = stream.to_bytes()
        assert not m.case.differences(np.frombuffer(raw, dtype="<u4"))
        other = model.stream(context, dtype)
        other.restore(raw)
        assert other.to_bytes() == raw


def test_blobs() -> None:
    for case in _cases(Kernel.BLOB_OPEN):
        data = case.inputs[0].words().astype("<u4").tobytes()[: case.params[0]]
        if case.status == "OK":
            assert at.TemporalModel.from_blob(data).blob == data
        else:
            with pytest.raises(_rejection(case.status)):
                at.TemporalModel.from_blob(data)


def test_resampling() -> None:
    for case in _cases(Kernel.RESAMPLE):
        dim, period, max_gap, gain, count = case.params
        readings = case.inputs[0].words().tolist()
        frames = case.inputs[1].words().view(np.float32).reshape(count, dim)
        if case.status != "OK":
            with pytest.raises(_rejection(case.status)):
                at.Resampler(dim, period, max_gap)
            continue
        resampler, clock = at.Resampler(dim, period, max_gap, "mean" if gain else "none"), at.Clock()
        words: list[int] = []
        for reading, frame in zip(readings, frames, strict=True):
            now = clock.read(reading)
            try:
                restarted, grid, first = resampler.push(frame, now)
            except (errors.NonFiniteError, errors.ResultOverflowError) as rejected:
                assert case.name.split("/")[1] in ("not-finite", "difference-overflows", "gain-overflows"), rejected
                break  # what was due with it is lost here; the C runner compares the rest
            words += [0, int(restarted), len(grid)]
            for index, row in enumerate(grid):
                when = first + index * period
                words += [when & 0xFFFFFFFF, when >> 32, 0, *_bits(row).tolist()]
        else:
            words.append(clock.restarts)
            assert not case.differences(np.array(words, dtype=np.uint32)), case.name


def test_crc_and_amplitudes() -> None:
    for case in _cases(Kernel.CRC32):
        data = case.inputs[0].words().astype("<u4").tobytes()[: case.params[0]]
        assert at.crc32(data) == case.stored[0] == zlib.crc32(data), case.name
    for case in _cases(Kernel.AMPLITUDE):
        pairs, n, selected = case.params
        iq = np.frombuffer(case.inputs[0].words().astype("<u4").tobytes()[: 2 * pairs], dtype=np.int8).reshape(pairs, 2)
        subcarriers = (
            np.frombuffer(case.inputs[1].words().astype("<u4").tobytes(), dtype="<u2")[:n] if selected else None
        )
        if case.status == "OK":
            assert not case.differences(_bits(at.csi_amplitude(iq, subcarriers)))
        else:
            with pytest.raises(_rejection(case.status)):
                at.csi_amplitude(iq, subcarriers)
