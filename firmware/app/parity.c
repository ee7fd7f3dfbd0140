#include "parity.h"

#include "golden.h"

/* One file with one variant, on its way through the runner. */
typedef struct run {
    const parity_io *io;
    const char *kernels;
} run;

static void report_check(void *user, const aether_golden_result *r) {
    const run *now = user;
    report *out = now->io->out;
    if (now->io->rest != NULL) {
        now->io->rest(now->io->user);
    }
    if (r->passed) {
        return;
    }
    report_begin(out, "fail");
    report_text(out, "kernels", now->kernels);
    report_text(out, "case", r->name);
    report_text(out, "path", r->path);
    report_text(out, "status", aether_status_name(r->status));
    report_text(out, "expected_status", aether_status_name(r->expected_status));
    report_number(out, "mismatches", r->mismatches);
    report_number(out, "compared", r->compared);
    if (r->mismatches > 0) {
        if (r->first == SIZE_MAX) {
            report_text(out, "element", "crc"); /* of all words, the compared ones being correct */
        } else {
            report_number(out, "element", r->first);
        }
        report_bits(out, "expected", r->expected);
        report_bits(out, "got", r->got);
    }
    report_end(out);
}

/* 1 when the file was walked and everything in it passed. */
static int run_file(const parity_io *io, size_t index, const uint32_t *file, size_t bytes, const aether_kernels *kernels) {
    report *out = io->out;
    run now;
    aether_golden_totals totals = {0, 0, 0, 0};
    size_t need = 0;
    aether_status status = aether_golden_scratch(file, bytes, kernels, &need);
    now.io = io;
    now.kernels = kernels->name;
    if (status == AETHER_OK) {
        status = need <= io->scratch_bytes ? aether_golden_run(file, bytes, kernels, io->scratch, io->scratch_bytes,
                                                               report_check, &now, &totals)
                                           : AETHER_E_MEMORY;
    }
    report_begin(out, "file");
    report_text(out, "kernels", kernels->name);
    report_number(out, "index", index);
    report_text(out, "status", aether_status_name(status));
    report_number(out, "cases", totals.cases);
    report_number(out, "checks", totals.checks);
    report_number(out, "compared", totals.compared);
    report_number(out, "failed", totals.failed);
    report_number(out, "scratch", need);
    report_end(out);
    return status == AETHER_OK && totals.failed == 0;
}

/* Bytes of the file that begins here; a length that cannot be takes all that is left, and ends the walk. */
static size_t file_bytes(const uint32_t *file, size_t left) {
    return left >= 12 && file[2] >= 4 && file[2] <= left && file[2] % 4 == 0 ? file[2] : left;
}

/* The files with one variant; the number of files with a failure in it. */
static size_t run_all(const parity_io *io, const aether_kernels *kernels) {
    const uint32_t *file = io->vectors;
    size_t index = 0, failed = 0, left = io->vectors_bytes;
    while (left > 0) {
        const size_t bytes = file_bytes(file, left);
        failed += !run_file(io, index++, file, bytes, kernels);
        file += bytes / 4;
        left -= bytes;
    }
    return failed;
}

size_t parity_scratch(const parity_io *io) {
    size_t most = 0, k;
    for (k = 0; aether_kernels_at(k) != NULL; k++) {
        const uint32_t *file = io->vectors;
        size_t left = io->vectors_bytes;
        while (left > 0 && aether_kernels_usable(aether_kernels_at(k))) {
            const size_t bytes = file_bytes(file, left);
            size_t need = 0;
            if (aether_golden_scratch(file, bytes, aether_kernels_at(k), &need) == AETHER_OK && need > most) {
                most = need;
            }
            file += bytes / 4;
            left -= bytes;
        }
    }
    return most;
}

/* Which vectors these are: the CRC over the files' own CRCs, their last words. (A CRC over bytes that end with their own would be the same
   for all of a length.) */
static uint32_t vectors_crc(const parity_io *io) {
    const uint32_t *file = io->vectors;
    size_t left = io->vectors_bytes;
    uint32_t crc = 0;
    while (left >= 4) {
        const size_t bytes = file_bytes(file, left);
        file += bytes / 4;
        left -= bytes;
        crc = aether_crc32(crc, file - 1, 4);
    }
    return crc;
}

/* What both a report and an `info` line begin with. */
static void identify(const parity_io *io, const char *kind, const char *id) {
    report_begin(io->out, kind);
    report_text(io->out, "id", *id != 0 ? id : "-");
    report_text(io->out, "core", AETHER_VERSION);
    report_text(io->out, "chip", io->chip);
    report_number(io->out, "bytes", io->vectors_bytes);
    report_bits(io->out, "crc", vectors_crc(io));
    report_end(io->out);
}

int parity_run(const parity_io *io, const char *id) {
    const size_t before = io->out->lines;
    const int measured = io->stack_used != NULL;
    size_t k, used, variants = 0, failed = 0;
    identify(io, "begin", id);
    for (k = 0; aether_kernels_at(k) != NULL; k++) {
        if (aether_kernels_usable(aether_kernels_at(k))) {
            variants++;
            failed += run_all(io, aether_kernels_at(k));
        }
    }
    used = measured ? io->stack_used(io->user) : 0;
    report_begin(io->out, "end");
    report_number(io->out, "variants", variants);
    report_number(io->out, "failed_files", failed);
    report_number(io->out, "stack", used);
    report_number(io->out, "stack_size", measured ? io->stack_size : 0);
    report_number(io->out, "lines", io->out->lines - before + 1); /* this one included: a reader sees when one was lost */
    report_end(io->out);
    return failed != 0 || (used != 0 && used == io->stack_size);
}

void parity_info(const parity_io *io, const char *id) {
    identify(io, "info", id);
}
