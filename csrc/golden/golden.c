#include "golden.h"

#include "../src/bits.h"

#include "case.h"

#define MAGIC 0x31564741u
#define VERSION 1u
#define FILE_WORDS 4u

aether_status aether_golden_check(const void *file, size_t bytes, size_t *cases) {
    const uint32_t *words = file;
    uint32_t crc = 0xFFFFFFFFu;
    size_t i, end, at = FILE_WORDS;
    golden_case c;
    if (file == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (((uintptr_t)file & 3u) != 0) {
        return AETHER_E_ALIGNMENT;
    }
    if (bytes < (FILE_WORDS + 1) * 4 || bytes % 4 != 0 || words[0] != MAGIC || words[1] != VERSION || words[2] != bytes) {
        return AETHER_E_GOLDEN;
    }
    end = bytes / 4 - 1;
    for (i = 0; i < end; i++) {
        crc = golden_crc_word(crc, words[i]);
    }
    if (~crc != words[end]) {
        return AETHER_E_GOLDEN;
    }
    for (i = 0; i < words[3]; i++) {
        if (!golden_case_read(words, at, end, &c, &at)) {
            return AETHER_E_GOLDEN;
        }
    }
    if (at != end) {
        return AETHER_E_GOLDEN;
    }
    if (cases != NULL) {
        *cases = words[3];
    }
    return AETHER_OK;
}

/* A case that this reader does not understand, or whose memory did not suffice, fails under its name. */
static void run_case(golden_run *run) {
    const size_t checks = run->totals.checks;
    run->arena.used = 0;
    run->arena.failed = 0;
    switch (run->c.kernel) {
    case GOLDEN_ATTENTION:
    case GOLDEN_CACHE_STATE:
        golden_run_attention(run);
        break;
    case GOLDEN_MODEL:
    case GOLDEN_STREAM_STATE:
    case GOLDEN_BLOB_OPEN:
    case GOLDEN_BLOB_WRITE:
        golden_run_model(run);
        break;
    case GOLDEN_RESAMPLE:
        golden_run_resample(run);
        break;
    default:
        golden_run_numeric(run);
        break;
    }
    run->too_large |= run->arena.base == NULL && run->arena.failed;
    if (run->arena.base != NULL && (run->arena.failed || run->totals.checks == checks)) {
        golden_sink sink;
        golden_sink_open(&sink, &run->c, "setup", 0);
        sink.result.mismatches = 1;
        golden_close(run, &sink, run->arena.failed ? AETHER_E_MEMORY : AETHER_E_GOLDEN, 0);
    }
}

static void walk(golden_run *run, const uint32_t *words, size_t end) {
    size_t at = FILE_WORDS;
    while (at < end && golden_case_read(words, at, end, &run->c, &at)) {
        run->totals.cases++;
        run_case(run);
    }
}

aether_status aether_golden_scratch(const void *file, size_t bytes, const aether_kernels *kernels, size_t *need) {
    const aether_status status = aether_golden_check(file, bytes, NULL);
    golden_run run;
    if (status != AETHER_OK || need == NULL) {
        return status != AETHER_OK ? status : AETHER_E_ARGUMENT;
    }
    memset(&run, 0, sizeof run);
    run.kernels = kernels != NULL ? kernels : aether_kernels_fastest();
    walk(&run, file, bytes / 4 - 1);
    *need = run.arena.peak != 0 ? run.arena.peak : 8;
    return run.too_large ? AETHER_E_TOO_LARGE : AETHER_OK;
}

aether_status aether_golden_run(const void *file, size_t bytes, const aether_kernels *kernels, void *scratch,
                                size_t scratch_bytes, aether_golden_report report, void *user,
                                aether_golden_totals *totals) {
    const aether_status status = aether_golden_check(file, bytes, NULL);
    golden_run run;
    if (status != AETHER_OK) {
        return status;
    }
    if (scratch == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (((uintptr_t)scratch & 7u) != 0) {
        return AETHER_E_ALIGNMENT;
    }
    memset(&run, 0, sizeof run);
    run.kernels = kernels != NULL ? kernels : aether_kernels_fastest();
    run.arena.base = scratch;
    run.arena.size = scratch_bytes;
    run.report = report;
    run.user = user;
    walk(&run, file, bytes / 4 - 1);
    if (totals != NULL) {
        *totals = run.totals;
    }
    return AETHER_OK;
}
