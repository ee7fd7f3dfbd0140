/* What can be asked of the core, and who runs it. */
#ifndef AETHER_GOLDEN_CASES_H
#define AETHER_GOLDEN_CASES_H

#include "case.h"

enum golden_kernel {
    GOLDEN_EXP = 1,
    GOLDEN_SQRT,
    GOLDEN_NARROW,
    GOLDEN_WIDEN,
    GOLDEN_CRC32,
    GOLDEN_LINEAR,
    GOLDEN_SCALE,
    GOLDEN_PATTERN,
    GOLDEN_BLOCK_MEAN,
    GOLDEN_ATTEND_QUERY,
    GOLDEN_ATTENTION,
    GOLDEN_MODEL,
    GOLDEN_BLOB_OPEN,
    GOLDEN_BLOB_WRITE,
    GOLDEN_AMPLITUDE,
    GOLDEN_CACHE_STATE,
    GOLDEN_STREAM_STATE,
    GOLDEN_RESAMPLE
};

void golden_run_numeric(golden_run *run);
void golden_run_attention(golden_run *run);
void golden_run_model(golden_run *run);
void golden_run_resample(golden_run *run);

#endif
