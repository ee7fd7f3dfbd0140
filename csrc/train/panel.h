/* Where things lie in a unit's memory: rows padded to whole vectors, the tokens first, then the means of blocks and of longer runs. */
#ifndef AETHER_PANEL_H
#define AETHER_PANEL_H

#include "gradient.h"

#define AETHER_PANEL_HEADS 4 /* query heads worked on together, at most */

typedef struct aether_panel {
    size_t dim;    /* floats of a row: head_dim, rounded up to whole vectors */
    size_t blocks; /* block means */
    unsigned levels; /* of means: one, or those of a pyramid */
    size_t rows;   /* tokens and means, level by level */
    size_t most;   /* candidates of a query, rounded up to whole vectors */
    /* floats from the start of a panel or sums: keys are at 0 */
    size_t values;
    /* bytes from the start of scratch */
    size_t singles, block_list, level_list, sizes, index, q, d_out, d_q, weight, d_score;
} aether_panel;

/* What one kernel variant adds: its vectors, and its rows. `panel_of` has been asked. */
typedef struct aether_gradient_kernel {
    const char *name;
    size_t lanes;
    void (*rows)(const aether_gradient *job, const aether_panel *at, size_t kv, const float *panel, size_t first,
                 size_t count, float *sums, unsigned char *scratch);
} aether_gradient_kernel;

extern const aether_gradient_kernel aether_gradient_portable;
#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))
#define AETHER_GRADIENT_X86 1
extern const aether_gradient_kernel aether_gradient_sse2, aether_gradient_avx2, aether_gradient_avx512;
#elif defined(__aarch64__) || defined(_M_ARM64)
#define AETHER_GRADIENT_NEON 1
extern const aether_gradient_kernel aether_gradient_neon;
#endif

#endif
