/* The hot loops (docs/spec/numerics.md), one table a variant. `portable` is the definition; every other variant gives the same bits.
   A function that takes `const aether_kernels *` uses that variant. NULL means the fastest one that this processor can run. The
   definition, which is slow, is asked for by name: aether_kernels_portable(). */
#ifndef AETHER_KERNELS_H
#define AETHER_KERNELS_H

#include "numeric.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One query position and one key/value head: `group` query heads attend to `n` rows.
   score = dot(q, key) * scale; softmax, a weight being size * exp(score - largest); weighted sum of the value rows, all in the order
   of the rows. */
typedef struct aether_query {
    const float *q;             /* [group][dim] */
    const void *const *keys;    /* n pointers to rows of dim elements */
    const void *const *values;
    size_t n;                   /* >= 1 */
    size_t n_stored;            /* the first n_stored rows are of `stored`, the others (block means) binary32 */
    aether_dtype stored;
    const float *sizes;         /* [n - n_stored]: how many tokens each row after the stored ones stands for; NULL: one */
    size_t group, dim;
    float scale;
    float *scores;              /* scratch: aether_query_floats(n, group, dim) floats, 4-byte aligned */
    float *out;                 /* [group][dim] */
} aether_query;

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

    /* Attends with one query position to rows given by pointers. */
    void (*attend_query)(const aether_query *job);
} aether_kernels;

/* Floats of scratch for attend_query, the same for every variant: (n + 15) scores a query head, because variants write whole
   vectors, and two widened rows. SIZE_MAX: more than can be expressed. */
size_t aether_query_floats(size_t n, size_t group, size_t dim);

/* The definition. Never NULL. */
const aether_kernels *aether_kernels_portable(void);

/* The fastest variant that this processor can run: what NULL means. Never NULL. */
const aether_kernels *aether_kernels_fastest(void);

/* The variants compiled in, fastest last; index 0 is portable. NULL past the end. */
const aether_kernels *aether_kernels_at(size_t index);

/* 1 when this processor (and operating system) can run the variant; 0 for NULL. */
int aether_kernels_usable(const aether_kernels *kernels);

/* A variant by its name. name NULL: the fastest usable, as kernels NULL elsewhere. AETHER_E_ARGUMENT; AETHER_E_KERNELS when the
   name is unknown or this processor cannot run the variant. */
aether_status aether_kernels_find(const char *name, const aether_kernels **kernels);

#ifdef __cplusplus
}
#endif
#endif
