/* Runs a golden file (docs/spec/golden.md) against the core: the same on a host and on a chip.
   The file is read in place, so it may lie in flash. All memory is the caller's. The structure of a file is checked; what its
   cases ask for is trusted, since the file belongs to the software. */
#ifndef AETHER_GOLDEN_H
#define AETHER_GOLDEN_H

#include "aether/aether.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One way of computing one case. Strings are constants or lie in the file. */
typedef struct aether_golden_result {
    const char *name;              /* of the case */
    const char *path;              /* which way: "forward", "split", "step", ... */
    aether_status expected_status;
    aether_status status;          /* AETHER_E_MEMORY also when the scratch is too small for this case */
    size_t compared;               /* words compared one by one */
    size_t mismatches;             /* of them, wrong; 1 when only the CRC over all words is */
    size_t first;                  /* element of the first mismatch; SIZE_MAX: the CRC over all words */
    uint32_t expected, got;        /* bits there */
    int passed;
} aether_golden_result;

/* Called after every check, in the order of the file. `result` and its strings are valid during the call only. */
typedef void (*aether_golden_report)(void *user, const aether_golden_result *result);

typedef struct aether_golden_totals {
    size_t cases;    /* in the file */
    size_t checks;   /* cases times the ways each was computed */
    size_t failed;   /* checks that did not pass */
    size_t compared; /* words */
} aether_golden_totals;

/* Checks magic, version, length, CRC and the bounds of every case; *cases may be NULL. file: 4-byte aligned.
   AETHER_E_GOLDEN, AETHER_E_ALIGNMENT, AETHER_E_ARGUMENT. */
aether_status aether_golden_check(const void *file, size_t bytes, size_t *cases);

/* Scratch that aether_golden_run needs for the hungriest case of this file with these kernels (NULL: the fastest usable).
   The codes of aether_golden_check, AETHER_E_TOO_LARGE. */
aether_status aether_golden_scratch(const void *file, size_t bytes, const aether_kernels *kernels, size_t *need);

/* Runs every case with `kernels` (NULL: the fastest usable). scratch: 8-byte aligned. report and totals may be NULL. AETHER_OK says that the
   file was walked, not that everything passed: totals->failed does. Codes of aether_golden_check. */
aether_status aether_golden_run(const void *file, size_t bytes, const aether_kernels *kernels, void *scratch,
                                size_t scratch_bytes, aether_golden_report report, void *user,
                                aether_golden_totals *totals);

#ifdef __cplusplus
}
#endif
#endif
