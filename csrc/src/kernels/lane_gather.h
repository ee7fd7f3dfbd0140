/* One query position over rows given by pointers: a step of a stream. Scores have keys in lanes (rows are transposed in
   registers), sums have output dims in lanes. Include after lane_numeric.h. */

#define GATHER_HEADS 4 /* query heads worked on together */

/* `part` (1 .. LANES) elements of a row; the other lanes +0. */
LANE_INLINE lane lane_row(const void *row, size_t d, size_t part, int half)
{
    if (half) {
        const uint16_t *p = (const uint16_t *)row + d;
        return part == LANES ? v_load_half(p) : v_load_half_part(p, part);
    }
    const float *p = (const float *)row + d;
    return part == LANES ? v_load(p) : v_load_part(p, part);
}

/* Dims d .. d+part-1 of rows first .. first+LANES-1 (the last row again past the end), one dim a vector. */
LANE_INLINE void lane_gather_keys(const aether_gather *job, size_t first, size_t d, size_t part, lane x[LANES])
{
    const size_t n_half = job->stored == AETHER_BINARY16 ? job->n_stored : 0;
    if (first + LANES <= job->n && first >= n_half)
        for (size_t l = 0; l < LANES; ++l)
            x[l] = lane_row(job->keys[first + l], d, part, 0);
    else if (first + LANES <= n_half)
        for (size_t l = 0; l < LANES; ++l)
            x[l] = lane_row(job->keys[first + l], d, part, 1);
    else
        for (size_t l = 0; l < LANES; ++l) {
            const size_t j = first + l < job->n ? first + l : job->n - 1;
            x[l] = lane_row(job->keys[j], d, part, j < n_half);
        }
    v_transpose(x);
}

/* Scores of `heads` query heads from h on, LANES keys at a time. */
LANE_INLINE void lane_gather_scores(const aether_gather *job, size_t h, int heads)
{
    const lane scale = v_set1(job->scale);
    for (size_t first = 0; first < job->n; first += LANES) {
        lane acc[GATHER_HEADS];
        for (int g = 0; g < heads; ++g)
            acc[g] = v_zero();
        for (size_t d = 0; d < job->dim; d += LANES) {
            const size_t part = job->dim - d < LANES ? job->dim - d : LANES;
            const float *q = job->q + h * job->dim + d;
            lane x[LANES];
            lane_gather_keys(job, first, d, part, x);
            if (part == LANES) {
                for (size_t e = 0; e < LANES; ++e)
                    for (int g = 0; g < heads; ++g)
                        acc[g] = v_add(acc[g], v_mul(v_set1(q[(size_t)g * job->dim + e]), x[e]));
            } else {
                for (size_t e = 0; e < part; ++e)
                    for (int g = 0; g < heads; ++g)
                        acc[g] = v_add(acc[g], v_mul(v_set1(q[(size_t)g * job->dim + e]), x[e]));
            }
        }
        for (int g = 0; g < heads; ++g) {
            float *to = job->scores + (h + (size_t)g) * job->n + first;
            const lane s = v_mul(acc[g], scale);
            if (first + LANES <= job->n)
                v_store(to, s);
            else
                v_store_part(to, s, job->n - first);
        }
    }
}

/* Scores of one head to weights. */
LANE_INLINE void lane_gather_weights(float *s, size_t n)
{
    float m = s[0];
    size_t j = 0;
    if (n >= LANES) {
        float part[LANES];
        lane most = v_load(s);
        for (j = LANES; j + LANES <= n; j += LANES)
            most = v_max(most, v_load(s + j));
        v_store(part, most);
        m = part[0];
        for (size_t l = 1; l < LANES; ++l)
            m = part[l] > m ? part[l] : m;
    }
    for (; j < n; ++j)
        m = s[j] > m ? s[j] : m;
    const lane most = v_set1(m);
    for (j = 0; j + LANES <= n; j += LANES)
        v_store(s + j, v_exp(v_sub(v_load(s + j), most)));
    if (j < n)
        v_store_part(s + j, v_exp(v_sub(v_load_part(s + j, n - j), most)), n - j);
}

/* Output dims d .. of `heads` heads: `vectors` whole vectors, or the last `part` dims. */
LANE_INLINE void lane_gather_values(const aether_gather *job, size_t h, const float *r, size_t d, int heads,
                                    int vectors, size_t part)
{
    const float *weights = job->scores + h * job->n;
    const size_t n_half = job->stored == AETHER_BINARY16 ? job->n_stored : 0;
    lane acc[2 * GATHER_HEADS];
    for (int a = 0; a < heads * vectors; ++a)
        acc[a] = v_zero();
    for (size_t j = 0; j < job->n; ++j) {
        lane x[2];
        for (int v = 0; v < vectors; ++v)
            x[v] = j < n_half ? lane_row(job->values[j], d + (size_t)(LANES * v), part, 1)
                              : lane_row(job->values[j], d + (size_t)(LANES * v), part, 0);
        for (int g = 0; g < heads; ++g) {
            const lane w = v_set1(weights[(size_t)g * job->n + j]);
            for (int v = 0; v < vectors; ++v)
                acc[g * vectors + v] = v_add(acc[g * vectors + v], v_mul(w, x[v]));
        }
    }
    for (int g = 0; g < heads; ++g)
        for (int v = 0; v < vectors; ++v) {
            float *to = job->out + (h + (size_t)g) * job->dim + d + LANES * v;
            const lane o = v_mul(acc[g * vectors + v], v_set1(r[g]));
            if (part == LANES)
                v_store(to, o);
            else
                v_store_part(to, o, part);
        }
}

LANE_INLINE void lane_gather_heads(const aether_gather *job, size_t h, int heads)
{
    float r[GATHER_HEADS];
    lane_gather_scores(job, h, heads);
    for (int g = 0; g < heads; ++g)
        lane_gather_weights(job->scores + (h + (size_t)g) * job->n, job->n);
    for (int g = 0; g < heads; ++g)
        r[g] = 0.0f;
    for (size_t j = 0; j < job->n; ++j)
        for (int g = 0; g < heads; ++g)
            r[g] += job->scores[(h + (size_t)g) * job->n + j];
    for (int g = 0; g < heads; ++g)
        r[g] = 1.0f / r[g];
    size_t d = 0;
    for (; d + 2 * LANES <= job->dim; d += 2 * LANES)
        lane_gather_values(job, h, r, d, heads, 2, LANES);
    for (; d + LANES <= job->dim; d += LANES)
        lane_gather_values(job, h, r, d, heads, 1, LANES);
    if (d < job->dim)
        lane_gather_values(job, h, r, d, heads, 1, job->dim - d);
}

static void lane_gather(const aether_gather *job)
{
    size_t h = 0;
    for (; h + GATHER_HEADS <= job->group; h += GATHER_HEADS)
        lane_gather_heads(job, h, GATHER_HEADS);
    for (; h < job->group; ++h)
        lane_gather_heads(job, h, 1);
}
