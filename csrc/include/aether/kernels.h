/* The hot loops, one table a variant. `portable` is the definition; every other variant gives the same bits.
   Which one runs is a pointer in the head or model: nothing is chosen behind the caller's back. */
#ifndef AETHER_KERNELS_H
#define AETHER_KERNELS_H

#include "numeric.h"

#ifdef __cplusplus
extern "C" {
#endif

struct aether_head;
struct aether_plan;

/* One query position and one key/value head: `group` query heads attend to `n` rows.
   score = dot(q, key) * scale; softmax; weighted sum of the value rows, all in the order of the rows. */
typedef struct aether_gather {
    const float *q;             /* [group][dim] */
    const void *const *keys;    /* n pointers to rows of dim elements */
    const void *const *values;
    size_t n;                   /* >= 1 */
    size_t n_stored;            /* the first n_stored rows are of `stored`, the others (block means) binary32 */
    aether_dtype stored;
    size_t group, dim;
    float scale;
    float *scores;              /* scratch: aether_gather_floats(n, group, dim) floats, 4-byte aligned */
    float *out;                 /* [group][dim] */
} aether_gather;

typedef struct aether_kernels {
    const char *name;

    /* y[r][o] = bias[o] (or +0 when NULL), then + x[r][i]*w[i][o], i ascending. x [rows][in], w [in][out] of `wtype`,
       y [rows][out], not overlapping. w is 2- or 4-byte aligned as its type. 1 when all of y is finite, else 0. */
    int (*linear)(const float *x, size_t rows, size_t in, const void *w, aether_dtype wtype, const float *bias,
                  size_t out, float *y);

    /* 1 when all n values are finite. */
    int (*all_finite)(const float *x, size_t n);

    /* widen / narrow n values; narrow also writes the rounded values as binary32 where `rounded` is not NULL. It returns 0 when
       all fit, else 1 (contents of `half` and `rounded` then undefined). */
    void (*widen)(const uint16_t *half, float *x, size_t n);
    int (*narrow)(const float *x, uint16_t *half, float *rounded, size_t n);

    void (*gather)(const aether_gather *job);

    /* Forward over a whole sequence (attention.h): memory and work of preparing the keys and values once, and of computing
       rows [first, first+count) from that. rows() may be called from several threads on one plan with scratch of their own.
       Sizes are overflow-checked: 0 means "cannot be expressed". */
    size_t (*plan_bytes)(const struct aether_head *head, size_t tokens, aether_dtype dtype);
    void (*prepare)(struct aether_plan *plan, void *memory);
    size_t (*rows_bytes)(const struct aether_head *head, size_t tokens);
    void (*rows)(const struct aether_plan *plan, const float *q, size_t first, size_t count, float *out, void *scratch);
} aether_kernels;

/* Scratch floats a gather needs, every variant the same: (n + 15) scores a query head, because variants write whole vectors, and
   room for widened rows. 0: cannot be expressed. */
size_t aether_gather_floats(size_t n, size_t group, size_t dim);

/* The definition. Never NULL. */
const aether_kernels *aether_kernels_portable(void);

/* The variants compiled in, fastest last; index 0 is portable. NULL past the end. */
const aether_kernels *aether_kernels_at(size_t index);

/* 1 when this processor (and operating system) can run the variant. */
int aether_kernels_usable(const aether_kernels *kernels);

/* By name; name NULL: the fastest usable. AETHER_E_KERNELS when unknown or not usable here. */
aether_status aether_kernels_find(const char *name, const aether_kernels **kernels);

#ifdef __cplusplus
}
#endif
#endif
