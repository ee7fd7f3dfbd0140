"""Shows that the golden vectors bite: the portable core with one thing changed must fail them.

Each mutant is one textual change of the sources (or of a compiler flag); what it changes must still be there, or the
test fails. The unchanged core passes.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hang import HANG

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["-std=c99", "-O1", "-ffp-contract=off", "-DAETHER_PORTABLE_ONLY", "-w"]
X86 = platform.machine() in ("x86_64", "AMD64")

PORTABLE, MODEL_OPS, PATTERN = "src/kernels/portable.c", "src/model_ops.c", "src/pattern.c"
RESAMPLE = "src/resample.c"
CACHE, NUMERIC, EXP, FPENV = "src/cache.c", "src/numeric.c", "src/exp.h", "src/fpenv.h"
CACHE_LAYOUT, CACHE_PYRAMID = "src/cache_layout.c", "src/cache_pyramid.c"
INT8, INT8_OPS, INT8_ATTEND, INT8_STREAM = (
    "src/int8.h",
    "src/int8_ops.c",
    "src/int8_attend.c",
    "src/int8_stream.c",
)
PYRAMID, PYRAMID_WALK, SECTIONS, HEAD = "src/pyramid.c", "src/pyramid.h", "src/sections.c", "src/head.c"


SUBCARRIERS = "src/subcarriers.c"


@dataclass(frozen=True)
class Mutant:
    """`old` (all of its occurrences) becomes `new` in a file of csrc."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = [
    # models in integers
    Mutant("narrow-down", INT8, "multiplier) + 1) >> 1;", "multiplier)) >> 1;"),
    Mutant(
        "mean-half-up", PYRAMID_WALK, "(rest == half && bits > 0 && (whole & 1) != 0)", "(rest == half && bits > 0)"
    ),
    Mutant("reciprocal-less", INT8, "return 0x80000000u / (", "return 0x7FF00000u / ("),
    Mutant("activation-less", INT8, "AETHER_INT8_ACTIVATION 2047", "AETHER_INT8_ACTIVATION 2046"),
    Mutant("stored-less", INT8, "AETHER_INT8_STORED 127", "AETHER_INT8_STORED 126"),
    Mutant("residual-less", INT8, "AETHER_INT8_RESIDUAL 32767", "AETHER_INT8_RESIDUAL 32766"),
    Mutant("input-half-up", INT8_OPS, "(rest == half && (whole & 1) != 0)", "rest == half"),
    Mutant("unit-root-up", INT8_OPS, "root_of(normal)", "(root_of(normal) + 1)"),
    Mutant("unit-cut", INT8_OPS, "(x[c] * r + round) >>", "(x[c] * r) >>"),
    Mutant(
        "filter-late", INT8_OPS, "size_t at = newest, j, c;", "size_t at = newest > 0 ? newest - 1 : taps - 1, j, c;"
    ),
    Mutant("weight-cut", INT8_ATTEND, "POWERS[below & 255] + ((1u << whole) >> 1)", "POWERS[below & 255]"),
    Mutant("weight-of-16", INT8_ATTEND, "whole < 16 ?", "whole < 15 ?"),
    Mutant("run-weighs-one", INT8_ATTEND, "block + 256 * (int32_t)walk.level", "0 * block"),
    Mutant("out-cut", INT8_ATTEND, "factor) + 0x10000) >> 17", "factor)) >> 17"),
    Mutant("agc-cut", INT8_STREAM, "half = (int64_t)1 << (bits + 2)", "half = 0"),
    Mutant("no-agc-of-less", INT8_STREAM, "if (sum <= 0) {", "if (sum == 0) {"),
    Mutant("pool-forgets-nothing", INT8_STREAM, "sums[c] -= row[c];", "sums[c] -= 0;"),
    Mutant("pool-cut", INT8_STREAM, "* r + (1 << 30)) >> 31", "* r) >> 31"),
    Mutant("no-norm-cut", INT8_STREAM, "(p->x[c] + 8) >> 4", "p->x[c] >> 4"),
    Mutant("restored-without-sums", INT8_STREAM, "for (i = 0; i < rows; i++) {", "for (i = 0; i < 0 * rows; i++) {"),
    # order of summation, place of a rounding
    Mutant("dot-backwards", PORTABLE, "sum = sum + a[d] * b[d]", "sum = sum + a[n - 1 - d] * b[n - 1 - d]"),
    Mutant("score-scaled-first", PORTABLE, "sum = sum + a[d] * b[d]", "sum = sum + b[d] * a[d] * 0.5f * 2.00000024f"),
    Mutant(
        "weights-backwards",
        PORTABLE,
        "for (j = 0; j < job->n; j++) {\n            const float size",
        "for (j = job->n; j-- > 0;) {\n            const float size",
    ),
    Mutant("divide-at-the-end", PORTABLE, "out[d] = out[d] * scale", "out[d] = out[d] / sum"),
    Mutant("weights-before-sum", PORTABLE, "sum = sum + w;", "sum = w + sum + 0.0f * value[0] + 1.0e-8f;"),
    Mutant("largest-not-subtracted", PORTABLE, "most = scores[j] > most ? scores[j] : most", "most = scores[0]"),
    Mutant(
        "linear-backwards",
        PORTABLE,
        "x[r * in + i] * weight_at(w, wtype, i * out + o)",
        "x[r * in + in - 1 - i] * weight_at(w, wtype, (in - 1 - i) * out + o)",
    ),
    Mutant(
        "bias-last", PORTABLE, "y[r * out + o] = sum", "y[r * out + o] = bias != NULL ? (sum - bias[o]) + bias[o] : sum"
    ),
    Mutant("scale-rounded-once", "src/head.c", "1.0f / aether_sqrt((float)dim)", "aether_sqrt(1.0f / (float)dim)"),
    Mutant(
        "mean-times-reciprocal",
        "src/attention.c",
        "mean[begin + c] = sum[c] / divisor",
        "mean[begin + c] = sum[c] * (1.0f / divisor)",
    ),
    Mutant(
        "mean-count",
        "src/attention.c",
        "const float divisor = (float)count;",
        "const float divisor = (float)(count - 1 + (count == 1));",
    ),
    Mutant(
        "cached-mean-count",
        CACHE,
        "const float divisor = (float)size;",
        "const float divisor = (float)(size - 1 + (size == 1));",
    ),
    Mutant(
        "cached-mean-of-rounded-rows",
        CACHE,
        "if (has_block_sums(cache) && !add_rows(aether_block_sums(cache, 0) + part * at->row, x, at->row,",
        "static float r[9999]; uint16_t h; size_t c; for (c = 0; c < at->row && c < 9999; c++)"
        " r[c] = cache->dtype != AETHER_BINARY32 && aether_narrow(x[c], &h) == AETHER_OK ? aether_widen(h) : x[c];"
        " if (has_block_sums(cache) && !add_rows(aether_block_sums(cache, 0) + part * at->row, r, at->row,",
    ),
    # candidates
    Mutant(
        "window-one-more",
        PATTERN,
        "window_back = config->window < i ? config->window : i",
        "window_back = config->window < i ? config->window + 1 : i",
    ),
    Mutant(
        "window-one-less-ahead",
        PATTERN,
        "window_ahead = config->window < last - i ? config->window : last - i",
        "window_ahead = config->window < last - i ? config->window - (config->window > 0) : last - i",
    ),
    Mutant(
        "stride-starts-at-two",
        PATTERN,
        "stride = sign < 0 ? stride / 2 :",
        "stride = sign < 0 ? (stride > 2 ? stride / 2 : 0) :",
    ),
    Mutant("stride-by-four", PATTERN, "stride = sign < 0 ? stride / 2 :", "stride = sign < 0 ? stride / 4 :"),
    Mutant(
        "history-one-more",
        PATTERN,
        "config->history - 1 < i ? config->history - 1 : i",
        "config->history < i ? config->history : i",
    ),
    Mutant(
        "pivot-one-back",
        PATTERN,
        "pivot = config->causal ? n - 1 :",
        "pivot = config->causal ? n - 1 - (n > 1) :",
    ),
    Mutant(
        "pivot-not-excluded",
        PATTERN,
        "for (stride = 1; stride != 0 && stride <= n - 1 - pivot;",
        "row->blocks[count++] = pivot; for (stride = 1; stride != 0 && stride <= n - 1 - pivot;",
    ),
    Mutant("no-local-neighbour", PATTERN, "aether_power_below(pivot) : (pivot > 0)", "aether_power_below(pivot) : 0"),
    Mutant("block-strictly-inside", PATTERN, "begin - oldest >= apart", "begin - oldest > apart"),
    Mutant(
        "block-complete-too-early",
        "src/pattern.h",
        "i >= size - 1 ? (i - (size - 1)) / size + 1 : 0",
        "i + 2 >= size ? (i - (size - 1) + 1) / size + 1 : 0",
    ),
    Mutant(
        "token-of-another-head",
        "src/kernels/sequence.c",
        "aether_candidates_token(&list, j) * config->kv_heads + h)",
        "aether_candidates_token(&list, j) * config->kv_heads + config->kv_heads - 1 - h)",
    ),
    # caches
    Mutant(
        "one-row-too-few",
        CACHE_LAYOUT,
        "at->n_rows = aether_count(distance + 1)",
        "at->n_rows = aether_count(distance + (distance == 0))",
    ),
    Mutant(
        "one-block-too-few",
        CACHE_LAYOUT,
        "at->n_blocks = aether_count(blocks)",
        "at->n_blocks = aether_count(blocks - (blocks > 1))",
    ),
    Mutant(
        "sums-kept-after-a-block",
        CACHE,
        "if (has_block_sums(cache) && is_last_of_block(cache)) {\n        memset",
        "if (0) {\n        memset",
    ),
    Mutant("sums-of-the-other-turn", "src/cache_layout.h", "(int)(cache->length & 1) ==", "0 =="),
    Mutant("blocks-end-late", CACHE, "(uint32_t)size == size - 1", "(uint32_t)size == 0"),
    Mutant("reset-keeps-the-length", CACHE, "cache->length = 0;", ";"),
    # binary16, square root, CRC
    Mutant("half-ties-away", NUMERIC, "0xFFFu + ((magnitude >> 13) & 1u)", "0x1000u"),
    Mutant("half-subnormal-ties-up", NUMERIC, "(rest == middle && (rounded & 1u) != 0)", "rest == middle"),
    Mutant("half-limit", NUMERIC, "magnitude >= 0x477FF000u", "magnitude > 0x477FF000u"),
    Mutant("half-flushes-subnormals", NUMERIC, "magnitude <= 0x33000000u", "magnitude < 0x38800000u"),
    Mutant("widen-exponent", NUMERIC, "(exponent + 112u) << 23", "(exponent + 112u + (exponent == 30u)) << 23"),
    Mutant("root-not-rounded", NUMERIC, "root = (root >> 1) + (root & 1u)", "root = root >> 1"),
    Mutant("crc-polynomial", "src/crc32_tables.h", "0xEDB88320", "0xEDB88321"),
    Mutant("crc-slice", "src/crc32.c", "TABLES[7][low & 0xFFu] ^ TABLES[6]", "TABLES[6][low & 0xFFu] ^ TABLES[7]"),
    # models
    Mutant("norm-without-eps", MODEL_OPS, "sum / (float)w + m->eps", "sum / (float)w"),
    Mutant("norm-order", MODEL_OPS, "(row[c] * scale) * g[c]", "row[c] * (scale * g[c])"),
    Mutant("filter-reversed", MODEL_OPS, "row[i] * c[j * w + i]", "row[i] * c[(taps - 1 - j) * w + i]"),
    Mutant("grid-from-both-ends", RESAMPLE, "a[f] + (b[f] - a[f]) * weight", "a[f] * (1.0f - weight) + b[f] * weight"),
    Mutant("grid-ends-before-the-frame", RESAMPLE, "r->next <= time ?", "r->next < time ?"),
    Mutant("grid-bridges-one-more", RESAMPLE, "time - r->newest <= r->max_gap", "time - r->newest <= r->max_gap + 1u"),
    Mutant(
        "grid-keeps-the-older",
        RESAMPLE,
        "r->newest = time;\n        r->due",
        "r->newest = time + (time == r->before);\n        r->due",
    ),
    Mutant("grid-with-gain", RESAMPLE, "if (r->agc == 0)", "if (1)"),
    Mutant(
        "clock-stops-at-wrap",
        RESAMPLE,
        "clock->elapsed += step",
        "clock->elapsed += microseconds < clock->last ? 0 : step",
    ),
    Mutant("gain-cut", MODEL_OPS, "mean >= 0x1p-126f", "mean > 0x1p-149f"),
    Mutant("pool-times-reciprocal", MODEL_OPS, "p[c] = p[c] / divisor", "p[c] = p[c] * (1.0f / divisor)"),
    Mutant(
        "pool-newest-first",
        MODEL_OPS,
        "rows + (size_t)((index + 1 - count + i) % ring) * w",
        "rows + (size_t)((index - i) % ring) * w",
    ),
    Mutant(
        "no-rectifier", MODEL_OPS, "hidden[i] = hidden[i] > 0.0f ? hidden[i] : 0.0f", "hidden[i] = hidden[i] + 0.0f"
    ),
    Mutant("embedding-of-nothing", MODEL_OPS, "if (sum > 0.0f)", "if (sum >= 0.0f)"),
    Mutant(
        "normalise-by-quotient",
        MODEL_OPS,
        "(row[f] - mean[f]) * scale[f]",
        "row[f] * scale[f] - mean[f] * scale[f]",
    ),
    Mutant("amplitude-without-q", "src/csi.c", "a * a + b * b", "a * a + a * b"),
    Mutant(
        "blob-crc-unchecked",
        "src/rvne.c",
        "return aether_fail(detail, AETHER_E_BLOB_CRC",
        "if (0) return aether_fail(detail, AETHER_E_BLOB_CRC",
    ),
    # the pyramid
    Mutant("size-left-out", PORTABLE, "size * aether_exp_inline", "aether_exp_inline"),
    Mutant("largest-weighed", PORTABLE, "const float size = job->sizes != NULL &&", "const float size = 0 &&"),
    Mutant("run-boundary", PYRAMID_WALK, "walk->longest <= walk->apart / 4", "walk->longest < walk->apart / 4"),
    Mutant("run-boundary-of-the-window", PYRAMID, "i > config->window ?", "i >= config->window + 1 && i > 40 ?"),
    Mutant("run-growth", PYRAMID_WALK, "walk->apart / 4", "walk->apart / 2"),
    Mutant(
        "run-growth-after",
        PYRAMID,
        "walk->apart = allowance(config)",
        "walk->apart = allowance(config) * (back ? 1 : 2)",
    ),
    Mutant("run-alignment", PYRAMID_WALK, "(at & length) == 0 && ", ""),
    Mutant("run-mean-of-sums", PYRAMID, "left[c] * 0.5f + right[c] * 0.5f", "right[c] * 0.5f + left[c] * 0.50000006f"),
    Mutant("run-history", PYRAMID_WALK, "if (left < length)", "if (left == 0)"),
    Mutant("run-history-one-more", PYRAMID, "config->history - config->window - 1", "config->history - config->window"),
    Mutant("run-ring-too-small", PYRAMID, "longer > 0 ? longer + length - 1", "longer > 0 ? longer - 1"),
    Mutant("run-ring-without-the-newest", PYRAMID, "+ length - 1 : length;", "+ length - 1 : 0;"),
    Mutant("run-kept-too-long", PYRAMID, "before - end < to", "before - end <= to"),
    Mutant("run-half-forgotten", PYRAMID, "if (made == before ||", "if (made <= before ||"),
    Mutant("run-kept-for-nothing", PYRAMID, "length > reach(config) || ", ""),
    Mutant("run-of-the-wrong-half", CACHE_PYRAMID, "level - 1, 2 * index + 1)", "level - 1, 2 * index)"),
    Mutant(
        "run-over-its-half",
        CACHE_PYRAMID,
        "for (level = cache->at.levels; level > 1 && !aether_pyramid_at_once(config, level - 1); level--)",
        "for (level = 2; level <= cache->at.levels; level++)",
    ),
    Mutant(
        "run-block-backwards",
        CACHE_PYRAMID,
        "*sum = *sum + *row;",
        "*sum = *sum * 1.0000001f + *row;",
    ),
    Mutant(
        "token-ring-too-small",
        CACHE_LAYOUT,
        "distance = config->window + config->block_size;",
        "distance = config->window + config->block_size - 1;",
    ),
    Mutant("edges-of-runs", "src/pyramid_edges.c", "blocks - end + 1 - from);", "blocks - end - from);"),
    # the pyramid in a blob
    Mutant("pyramid-bit", SECTIONS, "PYRAMID = 8", "PYRAMID = 4"),
    Mutant("pyramid-not-read", SECTIONS, "(switches & PYRAMID) != 0 ? AETHER_PYRAMID", "0 ? AETHER_PYRAMID"),
    Mutant("unknown-switch", SECTIONS, "(uint32_t)(LOG_STRIDE | LANDMARKS | PYRAMID)", "(uint32_t)15"),
    Mutant("pyramid-window-limit", HEAD, "> AETHER_PYRAMID_WINDOW_MAX", "> AETHER_PYRAMID_WINDOW_MAX + 1"),
    Mutant("pyramid-block-limit", HEAD, "size > AETHER_PYRAMID_BLOCK_MAX ||", "size > 2 * AETHER_PYRAMID_BLOCK_MAX ||"),
    Mutant("pyramid-block-any", HEAD, "|| (size & (size - 1)) != 0) {", ") {"),
    Mutant(
        "pyramid-history-in-window",
        HEAD,
        "history <= config->window) {\n        return",
        "history < config->window) {\n        return",
    ),
    Mutant(
        "pyramid-with-strides",
        HEAD,
        "if (config->use_log_stride || config->use_landmarks)",
        "if (config->use_landmarks)",
    ),
    Mutant("pyramid-with-globals", HEAD, "    if (config->n_globals != 0) {", "    if (config->n_globals > 9) {"),
]
if X86:
    MUTANTS += [
        Mutant("flush-to-zero", FPENV, "_mm_setcsr(0x1F80u)", "_mm_setcsr(0x9FC0u)"),
        Mutant("toward-zero", FPENV, "_mm_setcsr(0x1F80u)", "_mm_setcsr(0x7F80u)"),
    ]


LANE_SLOTS, LANE_QUERY = "src/kernels/lane_slots.h", "src/kernels/lane_query.h"
LANE_ATTENTION, LANE_LINEAR = "src/kernels/lane_attention.h", "src/kernels/lane_linear.h"
LANE_MUTANTS = [
    Mutant("lane-history-one-more", LANE_SLOTS, "(int64_t)c->history - 1;", "(int64_t)c->history;"),
    Mutant("lane-block-history", LANE_SLOTS, "(int64_t)c->history - 1 - s->i0", "(int64_t)c->history - 2 - s->i0"),
    Mutant("lane-token-too-new", LANE_SLOTS, "c->causal ? t : block - window", "c->causal ? block : block - window"),
    Mutant("lane-token-and-run", LANE_SLOTS, "block + size - 1 + window;", "block + size + window;"),
    Mutant("lane-tail-as-a-block", LANE_SLOTS, "!c->causal && block + size > tokens", "0"),
    Mutant("lane-run-of-the-next-window", LANE_SLOTS, "slots_mask(s, i, i + size - 1)", "slots_mask(s, i, i + size)"),
    Mutant("lane-run-of-another-level", LANE_SLOTS, "s->tree[run->level]", "s->tree[0]"),
    Mutant("lane-run-size-left-out", LANE_ATTENTION, "sized ? v_mul(size, e) : e", "e"),
    Mutant("lane-query-of-another-head", LANE_ATTENTION, "(h < heads ? h : 0) * t->dim", "0 * t->dim"),
    Mutant("lane-output-of-another-head", LANE_ATTENTION, "* row + h * t->dim : NULL", "* row : NULL"),
    Mutant("lane-no-local-neighbour", LANE_SLOTS, "return size <= 1 ||", "return size < 1 ||"),
    Mutant(
        "lane-stride-in-window-twice",
        LANE_SLOTS,
        "strides && o > window && o <= far",
        "strides && o >= window && o <= far",
    ),
    Mutant(
        "lane-unseen-key-weighs",
        LANE_ATTENTION,
        "v_set1(-LANE_INFINITY);\n    LANE_UNROLL",
        "v_set1(-1.0f);\n    LANE_UNROLL",
    ),
    Mutant(
        "lane-divide-at-the-end",
        LANE_ATTENTION,
        "v_mul(v_load(from + (d + e) * TILE_ROW(vectors)), r)",
        "v_div(v_load(from + (d + e) * TILE_ROW(vectors)), v_div(v_set1(1.0f), r))",
    ),
    Mutant("lane-blocks-forget", LANE_ATTENTION, "from == 0 ? v_zero()", "from < 2 * TILE_BLOCK ? v_zero()"),
    Mutant("lane-halves-one-less", LANE_QUERY, "(1u << (n_half - first)) - 1u", "(1u << (n_half - first - 1)) - 1u"),
    Mutant("lane-largest-of-first-vector", LANE_QUERY, "m = part[l] > m ? part[l] : m;", "m = part[0];"),
    Mutant("lane-bias-of-first-columns", LANE_LINEAR, "v_load(m->bias + o + LANES * v)", "v_load(m->bias + o)"),
]


SCALAR_QUERY, SCALAR_LINEAR = "src/kernels/scalar_query.h", "src/kernels/scalar_linear.h"
SCALAR_MUTANTS = [
    Mutant("scalar-odd-row", SCALAR_QUERY, "if ((n & 1) != 0) {", "if ((n & 3) == 3) {"),
    Mutant("scalar-halves-not-scaled-back", SCALAR_QUERY, "0.0f) * 0x1p-112f", "0.0f)"),
    Mutant("scalar-six-dims-begin-with-a-zero", SCALAR_QUERY, "(sum[6 * i + e] + 0.0f)", "sum[6 * i + e]"),
    Mutant("scalar-rounded-is-not-rounded", "src/kernels/scalar.c", "nearest & by->mask", "bits"),
    Mutant("scalar-eight-columns", SCALAR_LINEAR, "later(column, 8, half)", "later(column, 7, half)"),
    Mutant(
        "scalar-six-dims",
        SCALAR_QUERY,
        "const float x = element(p, e, half);",
        "const float x = element(p, e - e / 5, half);",
    ),
    Mutant("scalar-sum-overflows", "src/kernels/scalar.c", " || aether_all_finite(x, n)", ""),
    Mutant("scalar-limit", "src/kernels/scalar_half.h", "0x47800000u", "0x7F800000u"),
    Mutant("scalar-sign-of-halves", "src/kernels/scalar_half.h", "0x8FFFE000u", "0x0FFFE000u"),
    Mutant("scalar-last-dims", SCALAR_QUERY, "end = query + HEADS * dim;", "end = query + HEADS * (dim & ~(size_t)7);"),
    Mutant(
        "scalar-last-inputs", SCALAR_LINEAR, "const float each = factor(*x, half);", "const float each = 0.0f * *x;"
    ),
    Mutant("scalar-bias-of-first-columns", SCALAR_LINEAR, "b += 12 * step", "b += 0 * step"),
    Mutant("scalar-normal-limit", "src/kernels/scalar.c", "code - 0x01000000u >=", "code - 0x00800000u >="),
]


def _exp_constants() -> list[Mutant]:
    """Every constant of exp, one unit in the last place larger in magnitude."""
    text = (ROOT / "csrc" / EXP).read_text()
    found = re.findall(r"^(#define (AETHER_EXP_\w+) \(?(-?[0-9.e-]+)f\)?)", text, re.MULTILINE)
    assert len(found) == 10, "exp.h: the ten constants of the contract"
    out = []
    for line, name, value in found:
        next_one = np.nextafter(np.float32(value), np.float32(np.copysign(np.inf, float(value))))
        out.append(Mutant(name.lower(), EXP, line, f"#define {name} ({float(next_one).hex()}f)"))
    return out


MUTANTS += _exp_constants()


@cache
def _compiler() -> str:
    found = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
    if found is None or sys.platform == "win32":
        pytest.skip("mutants: no C compiler with gcc's flags here")
    return found


def _sources(tree: Path) -> list[Path]:
    """Portable core, runner and main program."""
    csrc = tree / "csrc"
    variants = {"sse2.c", "avx2.c", "avx512.c", "neon.c"}
    files = [*csrc.glob("src/*.c"), *csrc.glob("src/kernels/*.c"), *csrc.glob("golden/*.c"), tree / "golden_host.c"]
    return sorted(f for f in files if f.name not in variants)


def _object(tree: Path, source: Path, of: Path | None = None) -> Path:
    """The object of a source of `tree`, in that tree or in another one."""
    return (of or tree) / ("_".join(source.relative_to(tree).with_suffix(".o").parts))


def _compile(tree: Path, source: Path, extra: list[str]) -> Path:
    target = _object(tree, source)
    flags = [f for f in FLAGS if f != "-DAETHER_PORTABLE_ONLY" or source.name != "crc32.c"]  # the host's fast CRC
    command = [_compiler(), *flags, *extra, f"-I{tree / 'csrc/include'}", "-MMD", "-c", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def _link(tree: Path, objects: list[Path]) -> Path:
    program = tree / "golden_host"
    subprocess.run([_compiler(), *map(str, objects), "-o", str(program)], check=True)
    return program


ENOUGH = 60.0
"""Seconds. A mutant that takes longer, where the original takes a few, does not end."""


def _run(program: Path, *options: str, seconds: float = HANG) -> subprocess.CompletedProcess[str]:
    files = sorted(str(path) for path in (ROOT / "tests/golden").glob("*.agv"))
    command = [str(program), *options, *files]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


def _copy(tree: Path) -> Path:
    shutil.copytree(ROOT / "csrc", tree / "csrc")
    host = (ROOT / "tools/golden_host.c").read_text().replace("../csrc/", "csrc/")
    (tree / "golden_host.c").write_text(host)
    return tree


def _change(tree: Path, mutant: Mutant) -> None:
    path = tree / "csrc" / mutant.file
    text = path.read_text()
    assert mutant.old in text, f"csrc/{mutant.file} no longer contains {mutant.old!r}: write the mutant again"
    path.write_text(text.replace(mutant.old, mutant.new))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the core, compiled; beside each object what it was made from."""
    tree = _copy(tmp_path_factory.mktemp("original"))
    _link(tree, [_compile(tree, source, []) for source in _sources(tree)])
    return tree


def _made_from(tree: Path, file: str) -> list[Path]:
    """The sources whose object depends on a file of csrc."""
    wanted = str((tree / "csrc" / file).resolve())
    out = []
    for source in _sources(tree):
        rule = _object(tree, source).with_suffix(".d").read_text().replace("\\\n", " ")
        if wanted in {str(Path(name).resolve()) for name in rule.split()[1:]}:
            out.append(source)
    return out


def _assert_fails(program: Path, *options: str) -> None:
    try:
        done = _run(program, *options, seconds=ENOUGH)
    except subprocess.TimeoutExpired:
        return  # it did not even come to an end
    assert done.returncode != 0, f"the golden vectors do not notice:\n{done.stdout}"
    assert done.returncode < 0 or "FAIL" in done.stdout, done.stdout + done.stderr


QUICK = ("flush-to-zero", "run-boundary", "run-growth")
"""Mutants of the quick suite; the others take minutes."""


def test_the_original_passes(original: Path) -> None:
    done = _run(original / "golden_host")
    assert done.returncode == 0, done.stdout
    files, variants = len(list((ROOT / "tests/golden").glob("*.agv"))), 2  # portable, scalar
    assert done.stdout.count(" 0 failed") == files * variants
    assert max(map(int, re.findall(r"scratch (\d+)", done.stdout))) < 120_000, "more memory than a chip can spare"


def test_the_pyramid_can_be_left_out(original: Path, tmp_path: Path) -> None:
    """With AETHER_REFERENCE_ONLY heads and blobs of the pyramid are rejected; everything else gives the same bits."""
    tree = _copy(tmp_path)
    done = _run(_link(tree, [_compile(tree, source, ["-DAETHER_REFERENCE_ONLY"]) for source in _sources(tree)]))
    assert done.returncode != 0
    ended = [line for line in done.stdout.splitlines() if " cases, " in line]
    failed = {line.partition(".agv")[0].rpartition("/")[2] for line in ended if " 0 failed" not in line}
    assert failed == {"pyramid", "integers"}
    assert "blob/good-pyramid [open] status BLOB_HEADER, expected OK" in done.stdout
    assert "blob/pyramid-window " not in done.stdout


def _mutated(tree: Path, mutant: Mutant, original: Path) -> list[Path]:
    """The objects of a mutant's core, runner and main program."""
    _change(_copy(tree), mutant)
    changed = {source.relative_to(original) for source in _made_from(original, mutant.file)}
    assert changed, f"nothing is made from {mutant.file}"
    return [
        _compile(tree, source, []) if source.relative_to(tree) in changed else _object(tree, source, original)
        for source in _sources(tree)
    ]


def _mutate(tree: Path, mutant: Mutant, original: Path) -> Path:
    return _link(tree, _mutated(tree, mutant, original))


# Many streams at once have no golden vectors: tests/many_streams_check.c compares them with single ones.
POOL = "src/pool.c"
BULK = "src/cache_bulk.c"
MANY_MUTANTS = [
    Mutant(
        "steps-see-what-the-first-cache-sees",
        BULK,
        "if (i == 0 || cache->length != caches[i - 1]->length",
        "if (i == 0 || 0",
    ),
    Mutant("steps-ignore-the-capacity", BULK, "|| cache->capacity != caches[i - 1]->capacity", ""),
    Mutant("steps-keep-an-overflow", BULK, "if (status == AETHER_OK && !kernels->all_finite(out, n * n_q))", "if (0)"),
    Mutant("append-does-not-foresee", BULK, "status = foresee(cache, &at, k, tokens, 0);", ""),
    Mutant(
        "pool-evicts-its-own-batch",
        POOL,
        "if (slots[r] != NONE) {\n            use(p, slots[r]);",
        "if (0) {\n            use(p, slots[r]);",
    ),
    Mutant("pool-forgets-use", POOL, "unlink_use(p, slot);\n    link_newest(p, slot);", "(void)p, (void)slot;"),
    Mutant("pool-keeps-the-past-of-another", POOL, "aether_stream_reset(stream_of(p, p->unused));", ""),
    Mutant("pool-one-stream-twice-in-a-group", POOL, "entry_of(p, slots[end])->group != p->group", "1"),
    Mutant("pool-fails-as-a-group", POOL, "if (status == AETHER_OK || rows == 1)", "if (1)"),
    Mutant(
        "pool-sees-what-the-first-row-sees",
        POOL,
        "aether_cache_attend_row(cache, &seen[r]",
        "aether_cache_attend_row(cache, &seen[0]",
    ),
]


@pytest.mark.parametrize(
    "mutant", [pytest.param(m, marks=[pytest.mark.slow] * (m.name not in QUICK), id=m.name) for m in MUTANTS]
)
def test_mutant_fails(mutant: Mutant, original: Path, tmp_path: Path) -> None:
    _assert_fails(_mutate(tmp_path, mutant, original), "-k", "portable")


# Golden files hold no layouts: the calls of the core in C check where a frame's subcarriers stand.
SUBCARRIER_MUTANTS = [
    Mutant("lltf-wraps-otherwise", SUBCARRIERS, "{0, 32, -32, 32, 1}", "{-32, 32, 0, 32, 1}"),
    Mutant("lltf-with-a-second-channel", SUBCARRIERS, "{-32, 64, 0, 0, 1}", "{-31, 64, 0, 0, 1}"),
    Mutant("htltf40-wraps-otherwise", SUBCARRIERS, "{0, 64, -64, 64, 1}", "{-64, 64, 0, 64, 1}"),
    Mutant("stbc-below", SUBCARRIERS, "{-32, 63, 0, 0, 1}", "{-31, 63, 0, 0, 1}"),
    Mutant("words-are-neighbours", SUBCARRIERS, "{-26, 13, 2, 13, 2}", "{-26, 13, 2, 13, 1}"),
    Mutant("c5-starts-at-the-centre", SUBCARRIERS, "{-28, 57, 0, 0, 1}", "{0, 29, -28, 28, 1}"),
    Mutant("c6-is-always-lltf", SUBCARRIERS, "HT, NO, NO, ALL, {HTLTF(UP_32)", "HT, NO, NO, ALL, {LLTF(UP_32)"),
    Mutant("step-is-one", SUBCARRIERS, "pair + (size_t)(ahead / step)", "pair + (size_t)ahead"),
    Mutant(
        "any-prefers-htltf",
        SUBCARRIERS,
        "{AETHER_BAND_LLTF, AETHER_BAND_HTLTF, ",
        "{AETHER_BAND_HTLTF, AETHER_BAND_LLTF, ",
    ),
    Mutant("any-takes-empty-pairs", SUBCARRIERS, "LLTF_REACH 26", "LLTF_REACH 28"),
]


CHECKS = ("frames_check.c", "many_streams_check.c")


def _checks(tree: Path, objects: list[Path], name: str) -> subprocess.CompletedProcess[str]:
    """Links a program of tests/ with a core, and runs it."""
    source = tree / name
    shutil.copy(ROOT / "tests" / name, source)
    core = [path for path in objects if path.name.startswith("csrc_src_")]
    return subprocess.run(
        [_link(tree, [*core, _compile(tree, source, [f"-I{ROOT / 'tests'}"])])],
        capture_output=True,
        text=True,
        timeout=HANG,
    )


@pytest.mark.parametrize("name", CHECKS)
def test_the_original_passes_the_checks_in_c(name: str, original: Path, tmp_path: Path) -> None:
    _copy(tmp_path)
    done = _checks(tmp_path, [_object(original, source) for source in _sources(original)], name)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MANY_MUTANTS, ids=lambda m: m.name)
def test_mutant_of_many_streams_fails_the_checks_in_c(mutant: Mutant, original: Path, tmp_path: Path) -> None:
    done = _checks(tmp_path, _mutated(tmp_path, mutant, original), CHECKS[1])
    assert done.returncode != 0, f"the checks do not notice:\n{done.stdout}"


@pytest.mark.parametrize("mutant", SUBCARRIER_MUTANTS, ids=lambda m: m.name)
def test_subcarrier_mutant_fails_the_checks_in_c(mutant: Mutant, original: Path, tmp_path: Path) -> None:
    done = _checks(tmp_path, _mutated(tmp_path, mutant, original), CHECKS[0])
    assert done.returncode != 0, f"the checks do not notice:\n{done.stdout}"
    assert "subcarriers_find" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SCALAR_MUTANTS, ids=lambda m: m.name)
def test_scalar_mutant_fails(mutant: Mutant, original: Path, tmp_path: Path) -> None:
    _assert_fails(_mutate(tmp_path, mutant, original), "-k", "scalar")


# sse2 stands for the other variants: they are the same lane files.
SSE2_ONLY = [
    "-UAETHER_PORTABLE_ONLY",
    "-Daether_kernels_avx2=aether_kernels_sse2",
    "-Daether_kernels_avx512=aether_kernels_sse2",
    "-Daether_sequence_avx2=aether_sequence_sse2",
    "-Daether_sequence_avx512=aether_sequence_sse2",
]


def _link_lanes(tree: Path, original: Path) -> Path:
    kernels = tree / "csrc/src/kernels"
    own = [kernels / "select.c", kernels / "sequence.c", kernels / "sse2.c"]
    others = [_object(tree, source, original) for source in _sources(tree) if source not in own]
    return _link(tree, [*others, *(_compile(tree, source, SSE2_ONLY) for source in own)])


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="lane mutants: they are tried with sse2")
def test_unchanged_lanes_pass(original: Path, tmp_path: Path) -> None:
    done = _run(_link_lanes(_copy(tmp_path), original), "-k", "sse2")
    assert done.returncode == 0, done.stdout
    assert ": sse2: " in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="lane mutants: they are tried with sse2")
@pytest.mark.parametrize("mutant", LANE_MUTANTS, ids=lambda m: m.name)
def test_lane_mutant_fails(mutant: Mutant, original: Path, tmp_path: Path) -> None:
    tree = _copy(tmp_path)
    _change(tree, mutant)
    _assert_fails(_link_lanes(tree, original), "-k", "sse2")


def _has_fma() -> bool:
    info = Path("/proc/cpuinfo")
    return X86 and info.exists() and " fma " in info.read_text()


def _contracted(tree: Path, file: str, original: Path) -> Path:
    """The program with one file compiled as a compiler does that contracts a*b+c into one fused multiply-add."""
    objects = [
        _compile(tree, source, ["-O2", "-mfma", "-ffp-contract=fast"])
        if source == tree / "csrc" / file
        else _object(tree, source, original)
        for source in _sources(tree)
    ]
    return _link(tree, objects)


CONTRACTED = pytest.mark.parametrize("file", [PORTABLE, "src/kernels/scalar.c", MODEL_OPS])
NEEDS_FMA = pytest.mark.skipif(
    not _has_fma(), reason="contraction: this processor has no fused multiply-add to contract into"
)


@pytest.mark.slow
@NEEDS_FMA
@CONTRACTED
def test_contraction_fails(file: str, original: Path, tmp_path: Path) -> None:
    """Without the pragma of contract.h, for a compiler that has no such pragma."""
    tree = _copy(tmp_path)
    _change(tree, Mutant("contract-pragma", "src/contract.h", '#pragma GCC optimize("fp-contract=off")', ""))
    _assert_fails(_contracted(tree, file, original), "-k", "scalar" if "scalar" in file else "portable")


@pytest.mark.slow
@NEEDS_FMA
@CONTRACTED
def test_the_pragma_of_contract_h_overrules_the_compilers_option(file: str, original: Path, tmp_path: Path) -> None:
    if "gcc" not in _compiler():
        pytest.skip("contraction: only GCC lets a pragma overrule its option")
    done = _run(_contracted(_copy(tmp_path), file, original))
    assert done.returncode == 0, done.stdout
