/* forward: lanes are LANES consecutive queries; up to TILE_HEADS query heads that share a key/value head are worked on
   together. A lane that does not see a slot has score minus infinity there, so weight +0, and an accumulator that starts at
   +0 never changes by adding a zero. Include after lane_slots.h. */

#define TILE_HEADS 4
#define TILE_SUMS (TILE_HEADS * LANE_KEYS) /* accumulators: heads * keys, or heads * dims */
#define TILE_BLOCK 64 /* slots whose weights stay in the first-level cache while all dims are summed */
#define LANE_ALIGN 64

typedef struct lane_plan {
    size_t plane;       /* floats of one key/value head */
    const float *k, *v; /* transposed copies, kv_heads planes each */
} lane_plan;

static void *lane_align(void *p) {
    return (void *)(((uintptr_t)p + (LANE_ALIGN - 1)) & ~(uintptr_t)(LANE_ALIGN - 1));
}

static size_t lane_chunks(size_t tokens) {
    return (tokens + LANES - 1) / LANE_CHUNK + 1;
}

static size_t lane_plan_bytes(const aether_head *head, size_t tokens) {
    if (tokens > LANE_MAX_TOKENS) {
        return SIZE_MAX;
    }
    size_t bytes = aether_mul(lane_chunks(tokens), LANE_STRIDE * sizeof(float));
    bytes = aether_mul(bytes, head->config.head_dim);
    bytes = aether_mul(bytes, head->config.kv_heads);
    bytes = aether_mul(bytes, 2);
    return aether_add(bytes, sizeof(lane_plan) + 2 * LANE_ALIGN);
}

/* One plane: rows [tokens][row] of binary32, `dim` of them, to chunks [dim][LANE_STRIDE]; +0 where there is no token. */
static void lane_transpose_plane(const float *rows, size_t row, size_t dim, size_t tokens, float *to) {
    const size_t chunk = dim * LANE_STRIDE, groups = LANE_CHUNK / LANES;
    const size_t n = lane_chunks(tokens) * groups + 1; /* the last chunk's overhang too */
    for (size_t p = 0; p < n; ++p) {                   /* positions p*LANES .., tokens (p-1)*LANES .. */
        const size_t first = (p - 1) * LANES;
        const size_t have = p == 0 || first >= tokens ? 0 : tokens - first < LANES ? tokens - first : LANES;
        float *a = to + p / groups * chunk + p % groups * LANES; /* where these positions begin a group of a chunk */
        const int in_a = p / groups < lane_chunks(tokens), in_b = p >= groups && p % groups == 0;
        float *b = in_b ? to + (p / groups - 1) * chunk + LANE_CHUNK : to; /* the overhang of the chunk before */
        for (size_t d = 0; d < dim; d += LANES) {
            const size_t part = dim - d < LANES ? dim - d : LANES;
            lane x[LANES];
            LANE_UNROLL
            for (size_t l = 0; l < LANES; ++l) {
                const float *from = l < have ? rows + (first + l) * row + d : rows;
                x[l] = l >= have ? v_zero() : part == LANES ? v_load(from) : v_load_part(from, part);
            }
            v_transpose(x);
            for (size_t e = 0; in_a && e < part; ++e) {
                v_store(a + (d + e) * LANE_STRIDE, x[e]);
            }
            for (size_t e = 0; in_b && e < part; ++e) {
                v_store(b + (d + e) * LANE_STRIDE, x[e]);
            }
        }
    }
}

static void lane_prepare(aether_plan *plan, void *memory) {
    const aether_config *c = &plan->head->config;
    const size_t dim = c->head_dim, row = c->kv_heads * dim;
    lane_plan *own = lane_align(memory);
    float *copy = lane_align(own + 1);
    own->plane = lane_chunks(plan->tokens) * dim * LANE_STRIDE;
    own->k = copy;
    own->v = copy + c->kv_heads * own->plane;
    for (size_t h = 0; h < c->kv_heads; ++h) {
        lane_transpose_plane(plan->rows_k + h * dim, row, dim, plan->tokens, copy + h * own->plane);
        lane_transpose_plane(plan->rows_v + h * dim, row, dim, plan->tokens, copy + (c->kv_heads + h) * own->plane);
    }
    plan->variant = own;
}

/* The scratch of rows. */
typedef struct tile {
    lane_slots slots;
    size_t dim;
    float scale;
    size_t apart_offset, together_offset; /* to the key/value head worked on */
    float *q;                             /* [dim][TILE_HEADS][LANES] */
    float *acc;                           /* [dim][TILE_HEADS][LANES] */
    float *weight;                        /* [slot][TILE_HEADS][LANES]: scores, then weights */
    float most[TILE_HEADS * LANES], sum[TILE_HEADS * LANES];
} tile;

#define TILE_ROW (TILE_HEADS * LANES)

static size_t lane_rows_bytes(const aether_head *head, size_t tokens) {
    if (tokens > LANE_MAX_TOKENS) {
        return SIZE_MAX;
    }
    const size_t slots = slots_max(&head->config, tokens);
    if (slots > UINT32_MAX) {
        return SIZE_MAX;
    }
    const size_t a = aether_mul(slots, TILE_ROW * sizeof(float) + sizeof(lane_slot) + 2 * sizeof(uint32_t));
    const size_t b = aether_mul(head->config.head_dim, 2 * TILE_ROW * sizeof(float));
    return aether_add(aether_add(a, b), sizeof(tile) + 7 * LANE_ALIGN);
}

static tile *tile_in(void *scratch, const aether_plan *plan) {
    const lane_plan *own = plan->variant;
    const size_t slots = slots_max(&plan->head->config, plan->tokens), dim = plan->head->config.head_dim;
    tile *t = lane_align(scratch);
    t->slots.plan = plan;
    t->slots.k = own->k;
    t->slots.v = own->v;
    t->dim = dim;
    t->scale = plan->head->scale;
    t->q = lane_align(t + 1);
    t->acc = lane_align(t->q + dim * TILE_ROW);
    t->weight = lane_align(t->acc + dim * TILE_ROW);
    t->slots.slot = lane_align(t->weight + slots * TILE_ROW);
    t->slots.apart = lane_align(t->slots.slot + slots);
    t->slots.together = lane_align(t->slots.apart + slots);
    return t;
}

/* Scores of `keys` slots of one kind, named by their indexes, for `heads` heads. Constants where called: heads, keys, shared. */
LANE_INLINE void tile_scores(tile *t, const uint32_t *index, int heads, int keys, int shared) {
    const float *k[TILE_SUMS];
    lane acc[TILE_SUMS];
    const float *q = t->q;
    const size_t dim = t->dim;
    LANE_UNROLL
    for (int j = 0; j < keys; ++j) {
        k[j] = t->slots.slot[index[j]].k + (shared ? t->together_offset : t->apart_offset);
    }
    LANE_UNROLL
    for (int a = 0; a < heads * keys; ++a) {
        acc[a] = v_zero();
    }
    for (size_t d = 0; d < dim; ++d, q += TILE_ROW) {
        lane x[TILE_SUMS];
        LANE_UNROLL
        for (int j = 0; j < keys; ++j) {
            x[j] = shared ? v_set1(k[j][d]) : v_load(k[j] + d * LANE_STRIDE);
        }
        LANE_UNROLL
        for (int h = 0; h < heads; ++h) {
            const lane y = v_load(q + h * LANES);
            LANE_UNROLL
            for (int j = 0; j < keys; ++j) {
                acc[h * keys + j] = v_add(acc[h * keys + j], v_mul(y, x[j]));
            }
        }
    }
    const lane scale = v_set1(t->scale), none = v_set1(-LANE_INFINITY);
    LANE_UNROLL
    for (int h = 0; h < heads; ++h) {
        lane most = v_load(t->most + h * LANES);
        LANE_UNROLL
        for (int j = 0; j < keys; ++j) {
            const lane s = v_choose(t->slots.slot[index[j]].lanes, v_mul(acc[h * keys + j], scale), none);
            most = v_max(most, s);
            v_store(t->weight + (size_t)index[j] * TILE_ROW + h * LANES, s);
        }
        v_store(t->most + h * LANES, most);
    }
}

LANE_INLINE void tile_scores_of(tile *t, const uint32_t *index, size_t n, int heads, int shared) {
    /* Few heads: more keys together, to hide the latency of an addition. */
    const int most = heads > 2 ? LANE_KEYS : 2 * LANE_KEYS;
    size_t j = 0;
    for (; j + (size_t)most <= n; j += (size_t)most) {
        tile_scores(t, index + j, heads, most, shared);
    }
    for (; heads <= 2 && j + LANE_KEYS <= n; j += LANE_KEYS) {
        tile_scores(t, index + j, heads, LANE_KEYS, shared);
    }
    for (; j < n; ++j) {
        tile_scores(t, index + j, heads, 1, shared);
    }
}

LANE_INLINE void tile_weights(tile *t, int heads) {
    lane most[TILE_HEADS], sum[TILE_HEADS];
    LANE_UNROLL
    for (int h = 0; h < heads; ++h) {
        most[h] = v_load(t->most + h * LANES);
        sum[h] = v_zero();
    }
    float *w = t->weight;
    for (size_t j = 0; j < t->slots.n; ++j, w += TILE_ROW) {
        LANE_UNROLL
        for (int h = 0; h < heads; ++h) {
            const lane e = v_exp(v_sub(v_load(w + h * LANES), most[h]));
            sum[h] = v_add(sum[h], e);
            v_store(w + h * LANES, e);
        }
    }
    LANE_UNROLL
    for (int h = 0; h < heads; ++h) {
        v_store(t->sum + h * LANES, sum[h]);
    }
}

/* Adds slots from..to-1 to dims d .. d+dims-1. Constants where called: heads, dims. */
LANE_INLINE void tile_values(tile *t, size_t from, size_t to, size_t d, int heads, int dims) {
    lane acc[TILE_SUMS];
    float *sums = t->acc + d * TILE_ROW;
    LANE_UNROLL
    for (int e = 0; e < dims; ++e) {
        LANE_UNROLL
        for (int h = 0; h < heads; ++h) {
            acc[e * heads + h] = from == 0 ? v_zero() : v_load(sums + e * TILE_ROW + h * LANES);
        }
    }
    const float *w = t->weight + from * TILE_ROW;
    for (size_t j = from; j < to; ++j, w += TILE_ROW) {
        const lane_slot *slot = t->slots.slot + j;
        lane x[TILE_SUMS];
        if (slot->shared) {
            LANE_UNROLL
            for (int e = 0; e < dims; ++e) {
                x[e] = v_set1(slot->v[t->together_offset + d + (size_t)e]);
            }
        } else {
            LANE_UNROLL
            for (int e = 0; e < dims; ++e) {
                x[e] = v_load(slot->v + t->apart_offset + (d + (size_t)e) * LANE_STRIDE);
            }
        }
        LANE_UNROLL
        for (int h = 0; h < heads; ++h) {
            const lane y = v_load(w + h * LANES);
            LANE_UNROLL
            for (int e = 0; e < dims; ++e) {
                acc[e * heads + h] = v_add(acc[e * heads + h], v_mul(y, x[e]));
            }
        }
    }
    LANE_UNROLL
    for (int e = 0; e < dims; ++e) {
        LANE_UNROLL
        for (int h = 0; h < heads; ++h) {
            v_store(sums + e * TILE_ROW + h * LANES, acc[e * heads + h]);
        }
    }
}

/* Everything between transposed queries and transposed sums, for one number of heads. */
LANE_INLINE void tile_attend(tile *t, int heads) {
    const int dims = heads > 2 ? LANE_KEYS : 2 * LANE_KEYS;
    LANE_UNROLL
    for (int h = 0; h < heads; ++h) {
        v_store(t->most + h * LANES, v_set1(-LANE_INFINITY));
    }
    tile_scores_of(t, t->slots.apart, t->slots.n_apart, heads, 0);
    tile_scores_of(t, t->slots.together, t->slots.n_together, heads, 1);
    tile_weights(t, heads);
    for (size_t from = 0; from < t->slots.n; from += TILE_BLOCK) {
        const size_t to = t->slots.n - from < TILE_BLOCK ? t->slots.n : from + TILE_BLOCK;
        size_t d = 0;
        for (; d + (size_t)dims <= t->dim; d += (size_t)dims) {
            tile_values(t, from, to, d, heads, dims);
        }
        for (; d < t->dim; ++d) {
            tile_values(t, from, to, d, heads, 1);
        }
    }
}

/* Queries of one head to [dim][.][LANES]; q is lane from's row, and unwanted lanes get a wanted row's. */
static void tile_load(const tile *t, const float *q, size_t row, float *to) {
    for (size_t d = 0; d < t->dim; d += LANES) {
        const size_t part = t->dim - d < LANES ? t->dim - d : LANES;
        lane x[LANES];
        LANE_UNROLL
        for (int64_t l = 0; l < LANES; ++l) {
            const int64_t r = l < t->slots.from ? 0 : (l > t->slots.to ? t->slots.to : l) - t->slots.from;
            const float *from = q + (size_t)r * row + d;
            x[l] = part == LANES ? v_load(from) : v_load_part(from, part);
        }
        v_transpose(x);
        for (size_t e = 0; e < part; ++e) {
            v_store(to + (d + e) * TILE_ROW, x[e]);
        }
    }
}

/* Sums of one head, divided, to rows; `out` is lane from's row. */
static void tile_store(const tile *t, size_t h, float *out, size_t row) {
    const lane r = v_div(v_set1(1.0f), v_load(t->sum + h * LANES));
    const float *from = t->acc + h * LANES;
    for (size_t d = 0; d < t->dim; d += LANES) {
        const size_t part = t->dim - d < LANES ? t->dim - d : LANES;
        lane x[LANES];
        LANE_UNROLL
        for (size_t e = 0; e < LANES; ++e) {
            x[e] = e < part ? v_mul(v_load(from + (d + e) * TILE_ROW), r) : v_zero();
        }
        v_transpose(x);
        for (int64_t l = t->slots.from; l <= t->slots.to; ++l) {
            float *to = out + (size_t)(l - t->slots.from) * row + d;
            if (part == LANES) {
                v_store(to, x[l]);
            } else {
                v_store_part(to, x[l], part);
            }
        }
    }
}

static void tile_heads(tile *t, const float *q, float *out, size_t row, int heads) {
    for (int h = 0; h < heads; ++h) {
        tile_load(t, q + (size_t)h * t->dim, row, t->q + h * LANES);
    }
    switch (heads) {
    case 4: tile_attend(t, 4); break;
    case 3: tile_attend(t, 3); break;
    case 2: tile_attend(t, 2); break;
    default: tile_attend(t, 1); break;
    }
    for (int h = 0; h < heads; ++h) {
        tile_store(t, (size_t)h, out + (size_t)h * t->dim, row);
    }
}

static void lane_forward_rows(const aether_plan *plan, const float *q, size_t first, size_t count, float *out, void *scratch) {
    const aether_config *c = &plan->head->config;
    const lane_plan *own = plan->variant;
    const size_t group = c->q_heads / c->kv_heads, row = (size_t)c->q_heads * c->head_dim;
    tile *t = tile_in(scratch, plan);
    const int64_t begin = (int64_t)first, end = (int64_t)(first + count);
    /* Causal landmarks change at queries i with (i + 1) % block_size == 0: tiles that begin there see fewer of them. With few
       queries one tile less is worth more. */
    const int64_t shift = c->causal && c->use_landmarks && count > 16 * LANES ? 1 : 0;
    for (int64_t i0 = (begin + shift) / LANES * LANES - shift; i0 < end; i0 += LANES) {
        t->slots.i0 = i0;
        t->slots.from = i0 < begin ? begin - i0 : 0;
        t->slots.to = end - i0 < LANES ? end - i0 - 1 : LANES - 1;
        slots_build(&t->slots);
        const size_t at = (size_t)(i0 + t->slots.from) * row;
        for (size_t kv = 0; kv < c->kv_heads; ++kv) {
            t->apart_offset = kv * own->plane;
            t->together_offset = kv * t->dim;
            for (size_t g = 0; g < group; g += TILE_HEADS) {
                const size_t h = (kv * group + g) * t->dim;
                tile_heads(t, q + at + h, out + at + h, row, (int)(group - g < TILE_HEADS ? group - g : TILE_HEADS));
            }
        }
    }
}
