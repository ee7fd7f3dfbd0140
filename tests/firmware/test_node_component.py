"""The ESP-IDF component, run on this computer against the few calls of ESP-IDF that it uses."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import blob_bytes
import make_node_blobs
import numpy as np
import pytest
from building import COMPONENT, CSRC, FIRMWARE, NODE, build, component_program, core_sources, run
from consumers import write_page
from parity_matrix.emulation import read_lines

from aether_temporal import TemporalModel, WeightBlob
from aether_temporal.bundled import model_path
from aether_temporal.subcarriers import layout_of


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return component_program(tmp_path_factory.mktemp("component"), "component")


CODES = {
    "OK": "ESP_OK",
    "ARGUMENT": "ESP_ERR_INVALID_ARG",
    "CONFIG": "ESP_ERR_INVALID_ARG",
    "SHAPE": "ESP_ERR_INVALID_SIZE",
    "NOT_FINITE": "ESP_ERR_INVALID_ARG",
    "OVERFLOW": "ESP_ERR_INVALID_ARG",
    "CACHE_FULL": "ESP_ERR_INVALID_STATE",
    "CACHE_MISMATCH": "ESP_ERR_INVALID_STATE",
    "NO_STREAMING": "ESP_ERR_INVALID_ARG",
    "TOO_LARGE": "ESP_ERR_NO_MEM",
    "MEMORY": "ESP_ERR_NO_MEM",
    "ALIGNMENT": "ESP_ERR_INVALID_ARG",
    "STATE": "ESP_ERR_INVALID_STATE",
    "KERNELS": "ESP_ERR_INVALID_STATE",
    "BLOB_SHORT": "ESP_ERR_INVALID_SIZE",
    "BLOB_MAGIC": "ESP_ERR_INVALID_ARG",
    "BLOB_VERSION": "ESP_ERR_INVALID_VERSION",
    "BLOB_LENGTH": "ESP_ERR_INVALID_SIZE",
    "BLOB_CRC": "ESP_ERR_INVALID_CRC",
    "BLOB_FLAGS": "ESP_ERR_INVALID_VERSION",
    "BLOB_HEADER": "ESP_ERR_INVALID_SIZE",
    "GOLDEN": "ESP_ERR_INVALID_STATE",
}


@pytest.mark.slow
def test_every_status_has_a_code(program: Path) -> None:
    pairs = [line.split()[1:] for line in run(program, "codes").splitlines() if line.startswith("code ")]
    assert dict(pairs) == CODES
    assert len(pairs) == len(CODES)


@pytest.mark.slow
def test_switched_off(tmp_path: Path) -> None:
    assert "ok off" in run(component_program(tmp_path, "off", switched_off=True), "off")


def test_the_header_is_the_interface() -> None:
    """Signatures as existing node firmware calls them, and nothing else."""
    text = (COMPONENT / "include" / "ruv_temporal.h").read_text(encoding="utf-8")
    code = " ".join(re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL).split())
    wanted = [
        "esp_err_t ruv_temporal_init(const uint8_t *weights, size_t weights_len, uint32_t input_dim, "
        "uint32_t window_len, uint32_t n_classes, ruv_temporal_ctx_t **out_ctx);",
        "esp_err_t ruv_temporal_push(ruv_temporal_ctx_t *ctx, const float *frame);",
        "esp_err_t ruv_temporal_classify(ruv_temporal_ctx_t *ctx, float *logits, uint32_t n_classes);",
        "void ruv_temporal_destroy(ruv_temporal_ctx_t *ctx);",
        "esp_err_t ruv_temporal_kernel_self_test(void);",
    ]
    assert '#include "esp_err.h"' in code
    assert all(signature in code for signature in wanted)
    assert code.count(";") == len(wanted) + 1  # and the opaque type
    assert "typedef struct ruv_temporal_ctx ruv_temporal_ctx_t;" in code


def test_public_headers_include_only_public_components() -> None:
    """Or a firmware that includes them would have to name it too. esp_err.h every component has."""
    own = {path.name for path in (COMPONENT / "include").glob("*.h")}
    text = "".join(path.read_text(encoding="utf-8") for path in (COMPONENT / "include").glob("*.h"))
    foreign = set(re.findall(r'#include "([^"]+)"', text)) - own - {"esp_err.h"}
    cmake = (COMPONENT / "CMakeLists.txt").read_text(encoding="utf-8")
    required = re.search(r"\n  REQUIRES ([^\n]*)", cmake)
    assert required is not None
    assert foreign == {"lwip/sockets.h"}
    assert {name.partition("/")[0] for name in foreign} <= set(required[1].split())


def frames(features: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """As node_component_check.c makes them."""
    t, f = np.meshgrid(np.arange(300), np.arange(features), indexing="ij")
    return ((t * 37 + f * 11) % 64).astype(np.float32) / np.float32(4)


def words(line: str) -> list[int]:
    return [int(word, 16) for word in line.split()[1:]]


def blobs(plain_blob: WeightBlob) -> dict[str, bytes]:
    return {
        "reference": plain_blob.serialize(),
        "small": blob_bytes.plain(),
        "every": blob_bytes.extended(binary16=True).encode(),
        "activity": Path(model_path("activity")).read_bytes(),
    }


MODELS = [(name, "float16") for name in ("reference", "small", "every", "activity")] + [("reference", "float32")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cache"), MODELS)
def test_drop_in_interface(tmp_path: Path, program: Path, plain_blob: WeightBlob, name: str, cache: str) -> None:
    if cache == "float32":
        program = component_program(tmp_path, "binary32", "-DFAKE_BINARY32")
    data = blobs(plain_blob)[name]
    model = TemporalModel.from_blob(data)
    path = tmp_path / "model.rvne"
    path.write_bytes(data)
    out = run(program, "interface", path, model.input_dim, model.n_classes)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "ok interface" in out
    stream = model.stream(context=256, dtype=cache)  # type: ignore[arg-type]
    for frame in frames(model.input_dim):
        logits = stream.push(frame)
    assert words(lines["logits"]) == logits.view(np.uint32).tolist()
    if stream.embedding is not None:
        assert words(lines["embedding"]) == stream.embedding.view(np.uint32).tolist()
    names = model.settings.class_names if model.settings else None
    assert lines["class"] == f"class {names[-1] if names else 'none'}"
    layout = layout_of("s3", 128, sig_mode=1, bandwidth=0, stbc=0, secondary=0) if name == "activity" else None
    pairs = model.settings.subcarriers.n_pairs if model.settings and model.settings.subcarriers else model.input_dim
    pairs = pairs if layout is None else len(layout)
    iq = (np.arange(2 * pairs) * 29).astype(np.uint8).view(np.int8).reshape(-1, 2)
    assert words(lines["csi"]) == model.csi_frame(iq, layout).view(np.uint32).tolist()


@pytest.mark.slow
def test_classifying_before_the_first_frame_can_give_zeros(tmp_path: Path, plain_blob: WeightBlob) -> None:
    """Without the switch it is an error, as test_drop_in_interface shows."""
    program = component_program(tmp_path, "zeros", "-DCONFIG_RUV_TEMPORAL_ZEROS_BEFORE_FIRST_FRAME=1")
    path = tmp_path / "model.rvne"
    path.write_bytes(plain_blob.serialize())
    header = plain_blob.header
    assert "ok zeros" in run(program, "zeros", path, header.input_dim, header.n_classes)


@pytest.mark.slow
def test_self_test_runs(program: Path) -> None:
    out = run(program, "self-test")
    assert "every bit is the same" in out


def test_self_test_vectors_are_golden() -> None:
    done = subprocess.run(
        [sys.executable, COMPONENT / "make_self_test.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("change", ["constant", "fused"])
def test_self_test_fails_on_changed_arithmetic(tmp_path: Path, change: str) -> None:
    """A core that computes other bits fails it: one with a constant one ulp off, and one that fuses."""
    options: tuple[str, ...] = ()
    sources = core_sources(golden=True)
    if change == "fused":
        info = Path("/proc/cpuinfo")
        if platform.machine() != "x86_64" or not info.exists() or " fma " not in info.read_text(encoding="utf-8"):
            pytest.skip("a processor with -mfma")
        # The macro leaves contract.h empty. GCC fuses from -O2 on.
        options = ("-O2", "-ffp-contract=fast", "-mfma", "-DAETHER_CONTRACT_H")
    else:
        shutil.copytree(CSRC, tmp_path / "csrc")
        header = tmp_path / "csrc" / "src" / "exp.h"
        text = header.read_text(encoding="utf-8")
        assert text.count("4.99999851e-1f") == 1
        header.write_text(text.replace("4.99999851e-1f", "4.99999881e-1f"), encoding="utf-8")
        sources = [tmp_path / path.relative_to(CSRC.parent) for path in sources]
    broken = component_program(tmp_path, "broken", *options, core=sources, sanitizers=())
    done = subprocess.run([broken, "self-test"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected ESP_OK, got ESP_ERR_INVALID_STATE" in done.stdout
    assert "words differ, the first is" in done.stdout


# -- the node's plain C: the programs that `pio test` runs on emulated chips ----------------------------------


TESTS = sorted(path.name for path in (FIRMWARE / "test").glob("test_node_*"))


def program_of(folder: Path, name: str) -> Path:
    sources = [FIRMWARE / "test" / name / "main.c", FIRMWARE / "test" / "check.c", FIRMWARE / "app" / "report.c"]
    sources += [FIRMWARE / "targets" / "x86-64" / "platform.c", *sorted(NODE.glob("*.c")), *core_sources()]
    includes = [FIRMWARE / "test", FIRMWARE / "app", FIRMWARE / "runtime", NODE, CSRC / "include"]
    return build(folder, name, sources, includes)


def test_there_are_tests() -> None:
    assert TESTS == ["test_node_head", "test_node_logic", "test_node_slots", "test_node_trial"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTS)
def test_node(name: str, tmp_path: Path) -> None:
    lines = read_lines(run(program_of(tmp_path, name)))
    tests = [line.values for line in lines if line.kind == "test"]
    assert len(tests) >= 8
    assert all(test["failed"] == "0" and int(test["checks"]) > 0 for test in tests)
    assert lines[-1].kind == "end"
    assert lines[-1].values["failed_tests"] == "0"


def test_node_blobs_match_the_reference() -> None:
    assert make_node_blobs.OUT.read_text(encoding="utf-8") == make_node_blobs.source()


# -- against a real ESP-IDF: IDF_PATH, and IDF_LIBC (headers of a newlib) for clang ---------------------------


CHECK = Path(__file__).resolve().parents[2] / "tools" / "idf-check"


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key != "IDF_PATH"}
    return subprocess.run(
        [sys.executable, CHECK, *arguments], capture_output=True, text=True, check=False, env=kept | environment
    )


def test_idf_check_without_esp_idf_is_an_error() -> None:
    done = check()
    assert done.returncode == 2
    assert "IDF_PATH" in done.stderr


def test_against_esp_idf(tmp_path: Path) -> None:
    """Ours, and the project that docs/guide/esp-idf.md makes."""
    idf = os.environ.get("IDF_PATH")
    if idf is None:
        pytest.skip("no ESP-IDF: set IDF_PATH")
    libc = ["--libc", os.environ["IDF_LIBC"]] if "IDF_LIBC" in os.environ else []
    main = "#include <stdint.h>\nvoid head_start(const uint8_t *bssid);\nvoid app_main(void);\n"
    project = write_page(tmp_path, f'{main}void app_main(void) {{ head_start((const uint8_t *)"123456"); }}\n')
    done = check(*libc, "--project", str(project), IDF_PATH=idf)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no differences" in done.stdout
    assert "mine/main/head.c" in done.stdout
