/* Runs all golden vectors with every kernel variant of this build and reports what differs (firmware/README.md says how to read it). */
#include "golden.h"
#include "platform.h"
#include "report.h"
#include "vectors.h"

#ifndef AETHER_SCRATCH_BYTES
#define AETHER_SCRATCH_BYTES 196608
#endif

static uint64_t scratch[AETHER_SCRATCH_BYTES / 8];

static void report_check(void *user, const aether_golden_result *r) {
    if (r->passed) {
        return;
    }
    report_begin("fail");
    report_text("kernels", user);
    report_text("case", r->name);
    report_text("path", r->path);
    report_text("status", aether_status_name(r->status));
    report_text("expected_status", aether_status_name(r->expected_status));
    report_number("mismatches", r->mismatches);
    report_number("compared", r->compared);
    if (r->mismatches > 0) {
        if (r->first == SIZE_MAX) {
            report_text("element", "crc"); /* of all words, the compared ones being right */
        } else {
            report_number("element", r->first);
        }
        report_bits("expected", r->expected);
        report_bits("got", r->got);
    }
    report_end();
}

/* 1 when the file was walked and everything in it passed. */
static int run_file(size_t index, const uint32_t *file, size_t bytes, const aether_kernels *kernels) {
    char name[16];
    aether_golden_totals totals = {0, 0, 0, 0};
    size_t need = 0, i;
    aether_status status = aether_golden_scratch(file, bytes, kernels, &need);
    for (i = 0; i + 1 < sizeof name && kernels->name[i] != 0; i++) {
        name[i] = kernels->name[i];
    }
    name[i] = 0;
    if (status == AETHER_OK) {
        status = need <= sizeof scratch
                     ? aether_golden_run(file, bytes, kernels, scratch, sizeof scratch, report_check, name, &totals)
                     : AETHER_E_MEMORY;
    }
    report_begin("file");
    report_text("kernels", kernels->name);
    report_number("index", index);
    report_text("status", aether_status_name(status));
    report_number("cases", totals.cases);
    report_number("checks", totals.checks);
    report_number("compared", totals.compared);
    report_number("failed", totals.failed);
    report_number("scratch", need);
    report_end();
    return status == AETHER_OK && totals.failed == 0;
}

/* The files with one variant; the number of files with a failure in it. A length that cannot be ends the walk. */
static size_t run_all(const aether_kernels *kernels) {
    const uint32_t *file = aether_vectors;
    size_t index = 0, failed = 0;
    size_t left = (size_t)((uintptr_t)aether_vectors_end - (uintptr_t)file);
    while (left > 0) {
        const size_t bytes = left >= 12 && file[2] >= 4 && file[2] <= left && file[2] % 4 == 0 ? file[2] : left;
        failed += !run_file(index++, file, bytes, kernels);
        file += bytes / 4;
        left -= bytes;
    }
    return failed;
}

int firmware_main(void) {
    size_t k, variants = 0, failed = 0, used;
    report_begin("begin");
    report_text("core", AETHER_VERSION);
    report_number("bytes", (size_t)((uintptr_t)aether_vectors_end - (uintptr_t)aether_vectors));
    report_end();
    for (k = 0; aether_kernels_at(k) != NULL; k++) {
        if (aether_kernels_usable(aether_kernels_at(k))) {
            variants++;
            failed += run_all(aether_kernels_at(k));
        }
    }
    used = platform_stack_used();
    report_begin("end");
    report_number("variants", variants);
    report_number("failed_files", failed);
    report_number("stack", used);
    report_number("stack_size", platform_stack_size());
    report_end();
    return failed != 0 || (used != 0 && used == platform_stack_size());
}
