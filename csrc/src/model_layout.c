#include "model_layout.h"

#include "bits.h"

/* Sizes of AETHER_ARRAYS; anything below is a number. */
enum { INPUT_DIM = 0x10000, WIDTH, Q_WIDTH, KV_WIDTH, N_CLASSES, TAPS, HIDDEN, EMBED_DIM, STEM_TAPS, Q_HEADS };
/* The width, or 0 in a model without the section. */
enum { PROJECTED = 0x20000, STEMMED, CONVOLVED, FED };
enum { ONCE, EACH };
enum { VECTORS, MATRICES };

const aether_array_row aether_array_rows[AETHER_ARRAY_COUNT] = {
#define AETHER_X(ARRAY, SECTION, name, scope, type, rows, columns) {AETHER_SECTION_##SECTION, scope, type, rows, columns},
    AETHER_ARRAYS(AETHER_X)
#undef AETHER_X
};

uint32_t aether_array_size(const aether_model *m, uint32_t size) {
    switch (size) {
    case INPUT_DIM:
        return m->header.input_dim;
    case WIDTH:
        return m->width;
    case Q_WIDTH:
        return (uint32_t)aether_q_width(m);
    case KV_WIDTH:
        return (uint32_t)aether_kv_width(m);
    case N_CLASSES:
        return m->header.n_classes;
    case TAPS:
        return m->taps;
    case HIDDEN:
        return m->hidden;
    case EMBED_DIM:
        return m->embed_dim;
    case STEM_TAPS:
        return m->stem_taps;
    case Q_HEADS:
        return m->header.n_q_heads;
    case PROJECTED:
        return m->arrays[AETHER_PROJECTION_WEIGHT] != NULL ? m->width : 0;
    case STEMMED:
        return m->stem_taps != 0 ? m->width : 0;
    case CONVOLVED:
        return m->taps != 0 ? m->width : 0;
    case FED:
        return m->hidden != 0 ? m->width : 0;
    default:
        return size;
    }
}

uint64_t aether_array_elements(const aether_model *m, const aether_array_row *row) {
    const uint64_t rows = aether_array_size(m, row->rows);
    return row->columns == 0 ? rows : rows * aether_array_size(m, row->columns);
}

size_t aether_array_run(size_t first) {
    const aether_array_row *row = &aether_array_rows[first];
    size_t n = 1;
    while (first + n < AETHER_ARRAY_COUNT && row[n].section == row->section && row[n].each_layer == row->each_layer &&
           row[n].matrix == row->matrix) {
        n++;
    }
    return n;
}

uint32_t aether_element_bits(aether_dtype dtype, const void *base, size_t index) {
    return dtype == AETHER_BINARY16 ? ((const uint16_t *)base)[index] : aether_bits(((const float *)base)[index]);
}

size_t aether_first_not_finite(aether_dtype dtype, const void *base, size_t n) {
    const uint32_t exponent = dtype == AETHER_BINARY16 ? 0x7C00u : 0x7F800000u;
    size_t i = 0;
    if (dtype == AETHER_INT8 || dtype == AETHER_INT32) {
        return n;
    }
    while (i < n && (aether_element_bits(dtype, base, i) & exponent) != exponent) {
        i++;
    }
    return i;
}
