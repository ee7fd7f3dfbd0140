/* Attention over whole sequences. All arrays are row-major binary32, 4-byte aligned, the caller's:
   q and out [tokens][q_heads][head_dim], k and v [tokens][kv_heads][head_dim]. */
#ifndef AETHER_ATTENTION_H
#define AETHER_ATTENTION_H

#include "head.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Keys and values made ready for rows. Points into the caller's k, v and workspace, which must outlive it. */
typedef struct aether_plan {
    /* Private: do not read or write. */
    const aether_head *head;
    const float *k, *v;
    size_t tokens;
    aether_dtype dtype;
    size_t n_blocks;                 /* blocks with a mean (the last may be short when not causal; whole in a pyramid) */
    const float *mean_k, *mean_v;    /* [n_blocks][kv_heads][head_dim]; of a pyramid, then the longer runs */
    const float *rows_k, *rows_v;    /* token rows as a query sees them: k, v, or their binary16-rounded copies */
    void *variant;                   /* memory of the kernel variant */
} aether_plan;

/* Bytes of workspace for aether_attention_forward. AETHER_E_TOO_LARGE. */
aether_status aether_attention_workspace(const aether_head *head, size_t tokens, aether_dtype dtype, size_t *bytes);

/* out = attention(q, k, v). `dtype` is the type of the cache this must agree with: with AETHER_BINARY16, token
   rows are rounded to binary16 first (block means are not). tokens 0: nothing is done. workspace: `bytes` bytes, 4-byte aligned.
   AETHER_E_ARGUMENT, AETHER_E_NOT_FINITE (out untouched), AETHER_E_OVERFLOW (the contents of out are then
   undefined: to keep its old contents, pass another buffer), AETHER_E_MEMORY, AETHER_E_ALIGNMENT, AETHER_E_TOO_LARGE. */
aether_status aether_attention_forward(const aether_head *head, const float *q, const float *k, const float *v,
                                       size_t tokens, aether_dtype dtype, float *out, void *workspace, size_t bytes);

/* The same in two parts, for callers with threads: prepare once (checks k and v), then rows in any split, each call with
   its own scratch; the bits do not depend on the split. The sizes: AETHER_E_TOO_LARGE. prepare: AETHER_E_TOO_LARGE,
   AETHER_E_MEMORY, AETHER_E_NOT_FINITE, AETHER_E_OVERFLOW (binary16, block sums). rows: AETHER_E_SHAPE (rows past the end),
   AETHER_E_MEMORY, AETHER_E_NOT_FINITE (q; nothing written), AETHER_E_OVERFLOW. Workspace and scratch are 4-byte aligned. */
aether_status aether_attention_plan_size(const aether_head *head, size_t tokens, aether_dtype dtype, size_t *bytes);
aether_status aether_attention_prepare(aether_plan *plan, const aether_head *head, const float *k, const float *v,
                                       size_t tokens, aether_dtype dtype, void *workspace, size_t bytes);
aether_status aether_attention_rows_size(const aether_head *head, size_t tokens, size_t *bytes);
/* q and out are those of the whole sequence; rows [first, first+count) are read and written. */
aether_status aether_attention_rows(const aether_plan *plan, const float *q, size_t first, size_t count, float *out,
                                    void *scratch, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
