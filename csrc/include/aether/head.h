/* One attention head group: its configuration, checked once, and what a query sees (docs/spec/pattern.md). */
#ifndef AETHER_HEAD_H
#define AETHER_HEAD_H

#include "kernels.h"
#include "numeric.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum aether_backend { AETHER_SPARSE = 0, AETHER_DENSE = 1 } aether_backend;

/* Which keys the sparse backend sees. AETHER_REFERENCE: a window, global tokens, log-stride tokens and landmarks. AETHER_PYRAMID: a
   window; before it, averages of runs of tokens, longer with distance, each weighted by its number of tokens. */
typedef enum aether_pattern { AETHER_REFERENCE = 0, AETHER_PYRAMID = 1 } aether_pattern;

#define AETHER_UNLIMITED UINT64_MAX /* window: every token */

typedef struct aether_config {
    aether_backend backend;
    aether_pattern pattern;   /* of the sparse backend. The pyramid has no globals and no switches: they are 0 */
    uint32_t q_heads;         /* > 0 */
    uint32_t kv_heads;        /* > 0, divides q_heads */
    uint32_t head_dim;        /* > 0 */
    uint64_t window;          /* tokens before (and, not causal, after) the query's own */
    uint64_t block_size;      /* tokens a landmark, > 0 */
    uint64_t history;         /* tokens a query sees back, itself included; 0: all */
    const uint32_t *globals;  /* n_globals token indices, strictly ascending; caller's, must outlive the head */
    size_t n_globals;
    uint8_t causal;           /* 0 or 1, like the next two */
    uint8_t use_log_stride;
    uint8_t use_landmarks;
} aether_config;

/* Initialise with aether_head_init. Read only. */
typedef struct aether_head {
    aether_config config;
    /* Private: do not read or write. */
    float scale;                   /* 1/sqrt(head_dim) */
    const aether_kernels *kernels; /* never NULL */
} aether_head;

/* The reference head: 4 query heads, 1 key/value head, dim 32, window 32, block 16, token 0 global, both switches on, causal. */
void aether_config_default(aether_config *config);

/* Checks `config` and fills `head`. kernels NULL: the fastest usable.
   AETHER_E_ARGUMENT, AETHER_E_CONFIG (detail names the field), AETHER_E_TOO_LARGE. */
aether_status aether_head_init(aether_head *head, const aether_config *config, const aether_kernels *kernels,
                               aether_detail *detail);

/* The head whose forward gives the rows of a cache of `capacity` tokens: its history limited to the capacity, under the pyramid to at
   least window + 1. capacity 0: unlimited. `head` has been initialised; the global list is shared. */
aether_head aether_head_within(const aether_head *head, uint64_t capacity);

/* Upper bounds for the arrays below, whatever the query: single tokens (SIZE_MAX: too many to count), and blocks. */
size_t aether_pattern_max_singles(const aether_config *config);
size_t aether_pattern_max_blocks(const aether_config *config);
#define AETHER_MAX_BLOCKS 512 /* of any configuration */

/* What query `i` of `tokens` sees: the tokens in ascending order are singles[0 .. n_below-1], then lo .. hi (one run around
   the query), then singles[n_below .. n_below+n_above-1]; then n_blocks means, the j-th of 2^levels[j] blocks from blocks[j] on
   (one block under the reference pattern). No token or block stands twice. `singles` holds aether_pattern_max_singles entries (or
   is NULL: then they are only counted), `blocks` and `levels` aether_pattern_max_blocks; all are the caller's. i < tokens. */
typedef struct aether_row {
    uint64_t lo, hi;
    size_t n_below, n_above, n_blocks;
    uint64_t *singles;
    uint64_t *blocks;
    uint8_t *levels;
} aether_row;
void aether_pattern_row(const aether_config *config, uint64_t tokens, uint64_t i, aether_row *row);

/* Number of (query, key) pairs of one query head over `tokens` tokens, landmarks included; for the dense backend the dense
   count. Quick for any number of tokens. Saturates at UINT64_MAX. */
uint64_t aether_pattern_edges(const aether_config *config, uint64_t tokens);

#ifdef __cplusplus
}
#endif
#endif
