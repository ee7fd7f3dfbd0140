/* Where the arrays of a model lie, and how large they are. */
#ifndef AETHER_MODEL_LAYOUT_H
#define AETHER_MODEL_LAYOUT_H

#include "aether/model.h"


static inline size_t aether_q_width(const aether_model *m) {
    return (size_t)m->header.n_q_heads * m->header.head_dim;
}

static inline size_t aether_kv_width(const aether_model *m) {
    return (size_t)m->header.n_kv_heads * m->header.head_dim;
}

/* Array `id` of a layer (0 for one that is not of a layer); NULL when the model has none. */
static inline const void *aether_matrix(const aether_model *m, int id, size_t layer) {
    const unsigned char *first = m->arrays[id];
    return first != NULL ? first + layer * m->strides[id] : NULL;
}

/* 1 for a model in integers (docs/spec/integers.md). Those have the pyramid: a build without it has nothing of them. */
static inline int aether_in_integers(const aether_model *m) {
#if defined(AETHER_REFERENCE_ONLY)
    (void)m;
    return 0;
#else
    return m->dtype == AETHER_INT8;
#endif
}

/* Type of the arrays that are no matrices. */
static inline aether_dtype aether_vector_dtype(const aether_model *m) {
    return m->dtype == AETHER_INT8 ? AETHER_INT32 : AETHER_BINARY32;
}

static inline const float *aether_vector(const aether_model *m, int id, size_t layer) {
    return (const float *)aether_matrix(m, id, layer);
}

/* Index of the first of n elements that is not finite; n when all are. */
size_t aether_first_not_finite(aether_dtype dtype, const void *base, size_t n);

/* Bits of element `index`, for an error. */
uint32_t aether_element_bits(aether_dtype dtype, const void *base, size_t index);

/* One row of AETHER_ARRAYS. */
typedef struct aether_array_row {
    uint8_t section, each_layer, matrix;
    uint32_t rows, columns;
} aether_array_row;

extern const aether_array_row aether_array_rows[AETHER_ARRAY_COUNT];

/* Its name, as in docs/spec/model.md. */
const char *aether_array_name(size_t id);

/* A column `rows` or `columns` of AETHER_ARRAYS as a number. */
uint32_t aether_array_size(const aether_model *m, uint32_t size);

/* Elements of one array. */
uint64_t aether_array_elements(const aether_model *m, const aether_array_row *row);

/* Arrays that stand together from `first` on: of one section, scope and type. */
size_t aether_array_run(size_t first);

/* Elements of the core arrays; UINT64_MAX when they are beyond what a blob can hold. */
uint64_t aether_core_elements(const aether_model *m);

/* Points the model at its core arrays, which are there. */
void aether_core_place(aether_model *m);

/* Reads the sections between begin and end (offsets into the blob, multiples of 4; the footer begins at end) into the model. */
aether_status aether_sections_read(aether_model *m, uint32_t begin, uint32_t end, aether_config *config,
                                   aether_detail *detail);

#endif
