/* What docs/spec/integers.md demands of a blob. Together it proves that no sum overflows, whatever the frames are. */
#include "int8.h"

#include "bits.h"

#define SUM_MOST ((1u << 27) - 1)
#define TOKENS_MOST 256u
#define HEAD_MOST 512u
#define EMBED_MOST 65535u

static aether_status bad(aether_detail *detail, const char *field, const char *expected, uint64_t found, size_t offset) {
    return aether_fail(detail, AETHER_E_BLOB_HEADER, field, expected, found, offset);
}

static uint32_t magnitude(int32_t v) {
    return v < 0 ? 0u - (uint32_t)v : (uint32_t)v;
}

static const int32_t *vector(const aether_model *m, int id, size_t layer) {
    return (const int32_t *)aether_matrix(m, id, layer);
}

static size_t offset_of(const aether_model *m, const void *element) {
    return (size_t)((const unsigned char *)element - m->blob);
}

/* The values of one array that is no matrix: multipliers and scales are positive, means are as far as inputs go, and nothing is -2^31. */
static aether_status check_values(const aether_model *m, size_t id, size_t layer, aether_detail *detail) {
    const aether_array_row *row = &aether_array_rows[id];
    const int32_t *v = vector(m, (int)id, layer);
    const int positive = row->section == AETHER_SECTION_INTEGERS || id == AETHER_NORMALISATION_SCALE;
    const int32_t least = positive ? 1 : id == AETHER_NORMALISATION_MEAN ? -AETHER_INT8_RESIDUAL : -INT32_MAX;
    const int32_t most = id == AETHER_NORMALISATION_MEAN ? AETHER_INT8_RESIDUAL : INT32_MAX;
    const uint64_t n = aether_array_elements(m, row);
    uint64_t i;
    for (i = 0; i < n; i++) {
        if (v[i] < least || v[i] > most) {
            return bad(detail, aether_array_name(id), positive ? "1 to 2147483647" : id == AETHER_NORMALISATION_MEAN ? "-32767 to 32767" : "-2147483647 to 2147483647",
                       (uint32_t)v[i], offset_of(m, v + i));
        }
    }
    return AETHER_OK;
}

/* |bias| + most * the sum of |weights|, of every column of weights [rows][columns], is below 2^27. */
static aether_status check_sums(const aether_model *m, int weights, int bias, size_t layer, uint32_t most, aether_detail *detail) {
    const aether_array_row *row = &aether_array_rows[weights];
    const size_t rows = aether_array_size(m, row->rows), columns = aether_array_size(m, row->columns);
    const int32_t *b = vector(m, bias, layer), *wide = vector(m, weights, layer);
    const int8_t *bytes = (const int8_t *)wide;
    size_t r, c;
    for (c = 0; c < columns; c++) {
        uint32_t start = b != NULL ? magnitude(b[c]) : 0, left = start <= SUM_MOST ? (SUM_MOST - start) / most : 0;
        int fits = start <= SUM_MOST;
        for (r = 0; r < rows && fits; r++) {
            const uint32_t w = row->matrix ? magnitude(bytes[r * columns + c]) : magnitude(wide[r * columns + c]);
            fits = w <= left;
            left -= w;
        }
        if (!fits) {
            return bad(detail, aether_array_name((size_t)weights), "|bias| and the largest input times the sum of |weights| below 2^27 in each column", c,
                       offset_of(m, row->matrix ? (const void *)(bytes + c) : (const void *)(wide + c)));
        }
    }
    return AETHER_OK;
}

/* Weights, their biases, and the largest number that meets them. */
static const struct sums {
    int weights, bias;
    uint32_t most;
} SUMS[] = {
    {AETHER_PROJECTION_WEIGHT, AETHER_PROJECTION_BIAS, AETHER_INT8_ACTIVATION},
    {AETHER_STEM_WEIGHT, AETHER_STEM_BIAS, AETHER_INT8_RESIDUAL},
    {AETHER_CONVOLUTION_WEIGHT, AETHER_CONVOLUTION_BIAS, AETHER_INT8_ACTIVATION},
    {AETHER_ATTENTION_WQ, AETHER_ATTENTION_BQ, AETHER_INT8_ACTIVATION},
    {AETHER_ATTENTION_WK, AETHER_ATTENTION_BK, AETHER_INT8_ACTIVATION},
    {AETHER_ATTENTION_WV, AETHER_ATTENTION_BV, AETHER_INT8_ACTIVATION},
    {AETHER_ATTENTION_WO, AETHER_ATTENTION_BO, AETHER_INT8_ACTIVATION},
    {AETHER_FEED_FORWARD_W1, AETHER_FEED_FORWARD_B1, AETHER_INT8_ACTIVATION},
    {AETHER_FEED_FORWARD_W2, AETHER_FEED_FORWARD_B2, AETHER_INT8_ACTIVATION},
    {AETHER_CLASSIFIER_WEIGHT, AETHER_CLASSIFIER_BIAS, AETHER_INT8_ACTIVATION},
    {AETHER_EMBEDDING_WEIGHT, AETHER_EMBEDDING_BIAS, AETHER_INT8_ACTIVATION},
};

static size_t times(const aether_model *m, size_t id) {
    return m->arrays[id] == NULL ? 0 : aether_array_rows[id].each_layer ? m->header.n_layers : 1;
}

static aether_status check_arrays(const aether_model *m, aether_detail *detail) {
    aether_status status = AETHER_OK;
    size_t i, layer;
    for (i = 0; i < AETHER_ARRAY_COUNT; i++) {
        for (layer = 0; layer < times(m, i) && status == AETHER_OK && !aether_array_rows[i].matrix; layer++) {
            status = check_values(m, i, layer, detail);
        }
    }
    for (i = 0; i < sizeof SUMS / sizeof SUMS[0]; i++) {
        for (layer = 0; layer < times(m, (size_t)SUMS[i].weights) && status == AETHER_OK; layer++) {
            status = check_sums(m, SUMS[i].weights, SUMS[i].bias, layer, SUMS[i].most, detail);
        }
    }
    return status;
}

static int is_unit(float x) {
    const uint32_t bits = aether_bits(x);
    return (bits & 0x7FFFFFu) == 0 && bits >> 23 >= 127 - 24 && bits >> 23 <= 127 + 24;
}

aether_status aether_int8_check(const aether_model *m, aether_detail *detail) {
    const aether_config *config = &m->head.config;
    const char *unit = "a power of two from 2^-24 to 2^24";
    uint32_t eps;
    if (m->arrays[AETHER_INTEGERS_Q] == NULL) {
        return bad(detail, "integers", "a section 19, of a model in integers", 0, SIZE_MAX);
    }
    if (m->arrays[AETHER_NORMALISATION_MEAN] == NULL) {
        return bad(detail, "normalisation", "a section 4, of a model in integers", 0, SIZE_MAX);
    }
    if (!is_unit(m->input_unit) || !is_unit(m->logit_unit)) {
        return bad(detail, is_unit(m->input_unit) ? "integers.logit_unit" : "integers.input_unit", unit,
                   aether_bits(is_unit(m->input_unit) ? m->logit_unit : m->input_unit), SIZE_MAX);
    }
    if (m->arrays[AETHER_NORM_WEIGHT] != NULL && !aether_int8_eps(m->eps, &eps)) {
        return bad(detail, "norm.eps", "a whole number from 1 to 2^24, of a model in integers", aether_bits(m->eps), SIZE_MAX);
    }
    if (config->pattern != AETHER_PYRAMID) {
        return bad(detail, "pattern.switches", "the pyramid, in a model in integers", 0, SIZE_MAX);
    }
    if (config->window + config->block_size > TOKENS_MOST) {
        return bad(detail, "pattern.window", "at most 256 with block_size, in a model in integers", config->window, SIZE_MAX);
    }
    if (config->head_dim > HEAD_MOST) {
        return bad(detail, "head_dim", "at most 512 in a model in integers", config->head_dim, 14);
    }
    if (m->embed_dim > EMBED_MOST) {
        return bad(detail, "embedding.dim", "at most 65535 in a model in integers", m->embed_dim, SIZE_MAX);
    }
    return check_arrays(m, detail);
}
