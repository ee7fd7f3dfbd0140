/* The linear layer: lanes are output columns, rows are blocked. Include after lane_numeric.h. */

typedef struct lane_matrix {
    const void *w; /* [in][out] */
    size_t in, out;
    const float *bias;
} lane_matrix;

LANE_INLINE lane lane_weight(const lane_matrix *m, size_t i, size_t o, int half, size_t part) {
    const size_t at = i * m->out + o;
    if (half) {
        const uint16_t *w = (const uint16_t *)m->w + at;
        return part ? v_load_half_part(w, part) : v_load_half(w);
    }
    const float *w = (const float *)m->w + at;
    return part ? v_load_part(w, part) : v_load(w);
}

/* Columns o .. of `rows` rows: `vectors` whole vectors, or (part > 0, vectors 1) the last few columns. rows, vectors and half are
   constants wherever this is called, and the accumulators live in registers. */
LANE_INLINE void lane_linear_block(const lane_matrix *m, const float *x, float *y, size_t o, int rows, int vectors,
                                   int half, size_t part) {
    lane acc[16];
    LANE_UNROLL
    for (int v = 0; v < vectors; ++v) {
        lane b = v_zero();
        if (m->bias) {
            b = part ? v_load_part(m->bias + o, part) : v_load(m->bias + o + LANES * v);
        }
        LANE_UNROLL
        for (int r = 0; r < rows; ++r) {
            acc[r * vectors + v] = b;
        }
    }
    for (size_t i = 0; i < m->in; ++i) {
        lane w[8];
        LANE_UNROLL
        for (int v = 0; v < vectors; ++v) {
            w[v] = lane_weight(m, i, o + (size_t)(LANES * v), half, part);
        }
        LANE_UNROLL
        for (int r = 0; r < rows; ++r) {
            const lane xi = v_set1(x[(size_t)r * m->in + i]);
            LANE_UNROLL
            for (int v = 0; v < vectors; ++v) {
                acc[r * vectors + v] = v_add(acc[r * vectors + v], v_mul(xi, w[v]));
            }
        }
    }
    LANE_UNROLL
    for (int r = 0; r < rows; ++r) {
        LANE_UNROLL
        for (int v = 0; v < vectors; ++v) {
            float *to = y + (size_t)r * m->out + o + LANES * v;
            if (part) {
                v_store_part(to, acc[r * vectors + v], part);
            } else {
                v_store(to, acc[r * vectors + v]);
            }
        }
    }
}

/* All rows of columns o .. */
LANE_INLINE void lane_linear_panel(const lane_matrix *m, const float *x, size_t rows, float *y, size_t o, int vectors,
                                   int half, size_t part) {
    size_t r = 0;
    for (; r + LANE_ROWS <= rows; r += LANE_ROWS) {
        lane_linear_block(m, x + r * m->in, y + r * m->out, o, LANE_ROWS, vectors, half, part);
    }
    for (; r < rows; ++r) {
        lane_linear_block(m, x + r * m->in, y + r * m->out, o, 1, vectors, half, part);
    }
}

LANE_INLINE void lane_linear_typed(const lane_matrix *m, const float *x, size_t rows, float *y, int half) {
    size_t o = 0;
    if (rows < LANE_ROWS) { /* few rows: more columns at a time instead */
        for (; o + 8 * LANES <= m->out; o += 8 * LANES) {
            for (size_t r = 0; r < rows; ++r) {
                lane_linear_block(m, x + r * m->in, y + r * m->out, o, 1, 8, half, 0);
            }
        }
    }
    for (; o + 2 * LANES <= m->out; o += 2 * LANES) {
        lane_linear_panel(m, x, rows, y, o, 2, half, 0);
    }
    for (; o + LANES <= m->out; o += LANES) {
        lane_linear_panel(m, x, rows, y, o, 1, half, 0);
    }
    if (o < m->out) {
        lane_linear_panel(m, x, rows, y, o, 1, half, m->out - o);
    }
}

static int lane_linear(const float *x, size_t rows, size_t in, const void *w, aether_dtype wtype, const float *bias,
                       size_t out, float *y) {
    const lane_matrix m = {w, in, out, bias};
    if (wtype == AETHER_BINARY16) {
        lane_linear_typed(&m, x, rows, y, 1);
    } else {
        lane_linear_typed(&m, x, rows, y, 0);
    }
    return lane_all_finite(y, rows * out);
}
