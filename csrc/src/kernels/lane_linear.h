/* The linear layer: lanes are output columns, rows are blocked. Include after lane_numeric.h. */

typedef struct lane_matrix {
    const void *w; /* [in][out] */
    size_t in, out;
    const float *bias;
} lane_matrix;

LANE_INLINE lane lane_weight(const lane_matrix *m, size_t i, size_t o, int half, size_t part)
{
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
                                   int half, size_t part)
{
    lane acc[8];
    for (int v = 0; v < vectors; ++v) {
        lane b = v_zero();
        if (m->bias)
            b = part ? v_load_part(m->bias + o, part) : v_load(m->bias + o + LANES * v);
        for (int r = 0; r < rows; ++r)
            acc[r * vectors + v] = b;
    }
    for (size_t i = 0; i < m->in; ++i) {
        lane w[8];
        for (int v = 0; v < vectors; ++v)
            w[v] = lane_weight(m, i, o + (size_t)(LANES * v), half, part);
        for (int r = 0; r < rows; ++r) {
            const lane xi = v_set1(x[(size_t)r * m->in + i]);
            for (int v = 0; v < vectors; ++v)
                acc[r * vectors + v] = v_add(acc[r * vectors + v], v_mul(xi, w[v]));
        }
    }
    for (int r = 0; r < rows; ++r)
        for (int v = 0; v < vectors; ++v) {
            float *to = y + (size_t)r * m->out + o + LANES * v;
            if (part)
                v_store_part(to, acc[r * vectors + v], part);
            else
                v_store(to, acc[r * vectors + v]);
        }
}
