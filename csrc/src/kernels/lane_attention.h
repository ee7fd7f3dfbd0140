/* forward: lanes are consecutive queries of query heads that share a key/value head; up to TILE_VECTORS vectors are worked on together.
   A vector has LANES queries of one head, or under the pyramid as many queries as share their runs, for several heads: then a row is read
   once for all of them. A lane that does not see a slot has score minus infinity there, so weight +0, and an accumulator that starts
   at +0 never changes by adding a zero. Include after lane_slots.h. */

#define TILE_VECTORS 4
#define TILE_ROW(vectors) ((size_t)(vectors) * LANES)
#define TILE_SUMS (TILE_VECTORS * LANE_KEYS) /* accumulators: vectors * keys, or vectors * dims */
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
    if (aether_is_pyramid(&head->config)) {
        return 0; /* its rows are read where they are */
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
            LANE_UNROLL
            for (size_t e = 0; e < LANES; ++e) {
                if (in_a && e < part) {
                    v_store(a + (d + e) * LANE_STRIDE, x[e]);
                }
                if (in_b && e < part) {
                    v_store(b + (d + e) * LANE_STRIDE, x[e]);
                }
            }
        }
    }
}

static void lane_prepare(aether_plan *plan, void *memory) {
    const aether_config *c = &plan->head->config;
    const size_t dim = c->head_dim, row = c->kv_heads * dim;
    if (aether_is_pyramid(c)) {
        return;
    }
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
    float *q;                             /* [dim][vectors][LANES] */
    float *acc;                           /* [dim][vectors][LANES] */
    float *weight;                        /* [slot][vectors][LANES]: scores, then weights */
    float most[TILE_VECTORS * LANES], sum[TILE_VECTORS * LANES];
    float worst[LANES]; /* finite when all outputs so far are */
} tile;

static size_t lane_rows_bytes(const aether_head *head, size_t tokens) {
    if (tokens > LANE_MAX_TOKENS) {
        return SIZE_MAX;
    }
    const size_t slots = slots_max(&head->config, tokens);
    if (slots > UINT32_MAX) {
        return SIZE_MAX;
    }
    const size_t a = aether_mul(slots, TILE_ROW(TILE_VECTORS) * sizeof(float) + sizeof(lane_slot) + 2 * sizeof(uint32_t));
    const size_t b = aether_mul(head->config.head_dim, 2 * TILE_ROW(TILE_VECTORS) * sizeof(float));
    return aether_add(aether_add(a, b), sizeof(tile) + 2 * LANE_KEYS * sizeof(uint32_t) + 7 * LANE_ALIGN);
}

static tile *tile_in(void *scratch, const aether_plan *plan) {
    const lane_plan *own = plan->variant;
    const size_t slots = slots_max(&plan->head->config, plan->tokens), dim = plan->head->config.head_dim;
    tile *t = lane_align(scratch);
    t->slots.plan = plan;
    t->slots.k = own == NULL ? NULL : own->k;
    t->slots.v = own == NULL ? NULL : own->v;
    t->slots.queries = slots_queries(&plan->head->config);
    t->slots.repeat = 0;
    for (size_t l = 0; l < LANES; l += t->slots.queries) {
        t->slots.repeat |= 1u << l;
    }
    for (unsigned level = 0; level < aether_pyramid_levels(&plan->head->config, plan->n_blocks); ++level) {
        t->slots.tree[level] = aether_pyramid_tree(plan->n_blocks, level) * plan->head->config.kv_heads * dim;
    }
    t->dim = dim;
    t->scale = plan->head->scale;
    t->q = lane_align(t + 1);
    t->acc = lane_align(t->q + dim * TILE_ROW(TILE_VECTORS));
    t->weight = lane_align(t->acc + dim * TILE_ROW(TILE_VECTORS));
    t->slots.slot = lane_align(t->weight + slots * TILE_ROW(TILE_VECTORS));
    t->slots.apart = lane_align(t->slots.slot + slots);
    t->slots.together = lane_align(t->slots.apart + slots + LANE_KEYS);
    return t;
}

/* Adds `dims` dims from d on to the dot products of `vectors` vectors with `keys` keys. */
LANE_INLINE void tile_dots(const float *q, const float *const *k, size_t d, lane *acc, int vectors, int keys, int shared, int dims) {
    LANE_UNROLL
    for (int e = 0; e < dims; ++e) {
        lane x[TILE_SUMS];
        LANE_UNROLL
        for (int j = 0; j < keys; ++j) {
            x[j] = shared ? v_set1(k[j][d + (size_t)e]) : v_load(k[j] + (d + (size_t)e) * LANE_STRIDE);
        }
        LANE_UNROLL
        for (int h = 0; h < vectors; ++h) {
            const lane y = v_load(q + TILE_ROW(vectors) * (d + (size_t)e) + h * LANES);
            LANE_UNROLL
            for (int j = 0; j < keys; ++j) {
                acc[h * keys + j] = v_add(acc[h * keys + j], v_mul(y, x[j]));
            }
        }
    }
}

/* Scores of `keys` slots of one kind, named by their indexes, for `vectors` vectors. Constants where called: vectors, keys, shared. */
LANE_INLINE void tile_scores(tile *t, const uint32_t *index, int vectors, int keys, int shared) {
    const float *k[TILE_SUMS];
    lane acc[TILE_SUMS];
    const size_t dim = t->dim;
    size_t d = 0;
    LANE_UNROLL
    for (int j = 0; j < keys; ++j) {
        k[j] = t->slots.slot[index[j]].k + (shared ? t->together_offset : t->apart_offset);
    }
    LANE_UNROLL
    for (int a = 0; a < vectors * keys; ++a) {
        acc[a] = v_zero();
    }
    for (; vectors == 1 && d + 4 <= dim; d += 4) { /* many keys: those whose pointer has no register are then loaded seldom */
        tile_dots(t->q, k, d, acc, vectors, keys, shared, 4);
    }
    for (; d < dim; ++d) {
        tile_dots(t->q, k, d, acc, vectors, keys, shared, 1);
    }
    const lane scale = v_set1(t->scale), none = v_set1(-LANE_INFINITY);
    LANE_UNROLL
    for (int h = 0; h < vectors; ++h) {
        lane most = v_load(t->most + h * LANES);
        LANE_UNROLL
        for (int j = 0; j < keys; ++j) {
            const lane s = v_choose(t->slots.slot[index[j]].lanes, v_mul(acc[h * keys + j], scale), none);
            most = v_max(most, s);
            v_store(t->weight + (size_t)index[j] * TILE_ROW(vectors) + h * LANES, s);
        }
        v_store(t->most + h * LANES, most);
    }
}

LANE_INLINE void tile_scores_of(tile *t, const uint32_t *index, size_t n, int vectors, int shared) {
    /* Few vectors: more keys together, to hide the latency of an addition. */
    const int most = vectors > 2 ? LANE_KEYS : 2 * LANE_KEYS;
    size_t j = 0;
    for (; j + (size_t)most <= n; j += (size_t)most) {
        tile_scores(t, index + j, vectors, most, shared);
    }
    for (; j < n; j += LANE_KEYS) { /* the list is filled up */
        tile_scores(t, index + j, vectors, LANE_KEYS, shared);
    }
}

/* Slots from .. to-1: scores to weights, added to sum. Constants where called: vectors, sized. */
LANE_INLINE void tile_weights_of(tile *t, size_t from, size_t to, const lane *most, lane *sum, int vectors, int sized) {
    float *w = t->weight + from * TILE_ROW(vectors);
    for (size_t j = from; j < to; ++j, w += TILE_ROW(vectors)) {
        const lane size = v_set1(t->slots.slot[j].size);
        LANE_UNROLL
        for (int h = 0; h < vectors; ++h) {
            const lane e = v_exp(v_sub(v_load(w + h * LANES), most[h]));
            const lane each = sized ? v_mul(size, e) : e;
            sum[h] = v_add(sum[h], each);
            v_store(w + h * LANES, each);
        }
    }
}

LANE_INLINE void tile_weights(tile *t, int vectors) {
    lane most[TILE_VECTORS], sum[TILE_VECTORS];
    LANE_UNROLL
    for (int h = 0; h < vectors; ++h) {
        most[h] = v_load(t->most + h * LANES);
        sum[h] = v_zero();
    }
    tile_weights_of(t, 0, t->slots.n_tokens, most, sum, vectors, 0);
    tile_weights_of(t, t->slots.n_tokens, t->slots.n, most, sum, vectors, 1);
    LANE_UNROLL
    for (int h = 0; h < vectors; ++h) {
        v_store(t->sum + h * LANES, sum[h]);
    }
}

/* Adds slots from..to-1 to dims d .. d+dims-1. Constants where called: vectors, dims. */
LANE_INLINE void tile_values(tile *t, size_t from, size_t to, size_t d, int vectors, int dims) {
    lane acc[TILE_SUMS];
    float *sums = t->acc + d * TILE_ROW(vectors);
    LANE_UNROLL
    for (int e = 0; e < dims; ++e) {
        LANE_UNROLL
        for (int h = 0; h < vectors; ++h) {
            acc[e * vectors + h] = from == 0 ? v_zero() : v_load(sums + (size_t)e * TILE_ROW(vectors) + h * LANES);
        }
    }
    const float *w = t->weight + from * TILE_ROW(vectors);
    for (size_t j = from; j < to; ++j, w += TILE_ROW(vectors)) {
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
        for (int h = 0; h < vectors; ++h) {
            const lane y = v_load(w + h * LANES);
            LANE_UNROLL
            for (int e = 0; e < dims; ++e) {
                acc[e * vectors + h] = v_add(acc[e * vectors + h], v_mul(y, x[e]));
            }
        }
    }
    LANE_UNROLL
    for (int e = 0; e < dims; ++e) {
        LANE_UNROLL
        for (int h = 0; h < vectors; ++h) {
            v_store(sums + (size_t)e * TILE_ROW(vectors) + h * LANES, acc[e * vectors + h]);
        }
    }
}

/* Everything between transposed queries and transposed sums, for one number of vectors. */
LANE_INLINE void tile_attend(tile *t, int vectors) {
    const int dims = vectors > 2 ? LANE_KEYS : 2 * LANE_KEYS;
    LANE_UNROLL
    for (int h = 0; h < vectors; ++h) {
        v_store(t->most + h * LANES, v_set1(-LANE_INFINITY));
    }
    tile_scores_of(t, t->slots.apart, t->slots.n_apart, vectors, 0);
    tile_scores_of(t, t->slots.together, t->slots.n_together, vectors, 1);
    tile_weights(t, vectors);
    for (size_t from = 0; from < t->slots.n; from += TILE_BLOCK) {
        const size_t to = t->slots.n - from < TILE_BLOCK ? t->slots.n : from + TILE_BLOCK;
        size_t d = 0;
        for (; d + (size_t)dims <= t->dim; d += (size_t)dims) {
            tile_values(t, from, to, d, vectors, dims);
        }
        for (; d < t->dim; ++d) {
            tile_values(t, from, to, d, vectors, 1);
        }
    }
}

/* Lane l of a vector stands for query l % queries and head l / queries of the vector's. Where such a query or head is not wanted, a
   wanted one's values are loaded. */
static int64_t tile_query(const tile *t, int64_t l) {
    const int64_t i = l & ((int64_t)t->slots.queries - 1);
    return (i < t->slots.from ? t->slots.from : i > t->slots.to ? t->slots.to : i) - t->slots.from;
}

/* Queries of one vector, which begins with lane from's `q`, to [dim][.][LANES]. */
static void tile_load(const tile *t, const float *q, size_t row, size_t heads, float *to, int vectors) {
    const float *from[LANES];
    for (int64_t l = 0; l < LANES; ++l) {
        const size_t h = (size_t)l / t->slots.queries;
        from[l] = q + (size_t)tile_query(t, l) * row + (h < heads ? h : 0) * t->dim;
    }
    for (size_t d = 0; d < t->dim; d += LANES) {
        const size_t part = t->dim - d < LANES ? t->dim - d : LANES;
        lane x[LANES];
        LANE_UNROLL
        for (size_t l = 0; l < LANES; ++l) {
            x[l] = part == LANES ? v_load(from[l] + d) : v_load_part(from[l] + d, part);
        }
        v_transpose(x);
        LANE_UNROLL
        for (size_t e = 0; e < LANES; ++e) {
            if (e < part) {
                v_store(to + (d + e) * TILE_ROW(vectors), x[e]);
            }
        }
    }
}

/* Sums of vector v, divided, to rows. */
static void tile_store(tile *t, int v, float *out, size_t row, size_t heads, int vectors) {
    const lane r = v_div(v_set1(1.0f), v_load(t->sum + v * LANES));
    const float *from = t->acc + v * LANES;
    lane worst = v_load(t->worst);
    float *to[LANES];
    for (int64_t l = 0; l < LANES; ++l) {
        const size_t h = (size_t)l / t->slots.queries;
        const int64_t i = l & ((int64_t)t->slots.queries - 1);
        const int wanted = h < heads && i >= t->slots.from && i <= t->slots.to;
        to[l] = wanted ? out + (size_t)(i - t->slots.from) * row + h * t->dim : NULL;
    }
    for (size_t d = 0; d < t->dim; d += LANES) {
        const size_t part = t->dim - d < LANES ? t->dim - d : LANES;
        lane x[LANES];
        LANE_UNROLL
        for (size_t e = 0; e < LANES; ++e) {
            x[e] = e < part ? v_mul(v_load(from + (d + e) * TILE_ROW(vectors)), r) : v_zero();
        }
        v_transpose(x);
        LANE_UNROLL
        for (size_t l = 0; l < LANES; ++l) {
            if (to[l] == NULL) {
                continue;
            }
            worst = v_worst(worst, x[l]);
            if (part == LANES) {
                v_store(to[l] + d, x[l]);
            } else {
                v_store_part(to[l] + d, x[l], part);
            }
        }
    }
    v_store(t->worst, worst);
}

/* `heads` heads in `vectors` vectors. Constant where called: vectors. */
LANE_INLINE void tile_heads(tile *t, const float *q, float *out, size_t row, size_t heads, int vectors) {
    const size_t each = LANES / t->slots.queries;
    for (size_t h = 0, v = 0; h < heads; h += each, ++v) {
        tile_load(t, q + h * t->dim, row, heads - h, t->q + v * LANES, vectors);
    }
    tile_attend(t, vectors);
    for (size_t h = 0, v = 0; h < heads; h += each, ++v) {
        tile_store(t, (int)v, out + h * t->dim, row, heads - h < each ? heads - h : each, vectors);
    }
}

static int lane_forward_rows(const aether_plan *plan, const float *q, size_t first, size_t count, float *out, void *scratch) {
    const aether_config *c = &plan->head->config;
    const lane_plan *own = plan->variant;
    const size_t group = c->q_heads / c->kv_heads, row = (size_t)c->q_heads * c->head_dim;
    tile *t = tile_in(scratch, plan);
    v_store(t->worst, v_zero());
    const size_t queries = t->slots.queries, each = LANES / queries;
    const int64_t n = (int64_t)queries, begin = (int64_t)first, end = (int64_t)(first + count);
    /* Tiles begin where causal landmarks change, which is at queries i with (i + 1) % block_size == 0 (with few queries one tile less
       is worth more), or where the runs of a pyramid do. */
    const int64_t shift = aether_is_pyramid(c)                                   ? n - (int64_t)(c->window % queries)
                          : c->causal && c->use_landmarks && count > 16 * LANES ? 1
                                                                                 : 0;
    for (int64_t i0 = (begin + shift) / n * n - shift; i0 < end; i0 += n) {
        t->slots.i0 = i0;
        t->slots.from = i0 < begin ? begin - i0 : 0;
        t->slots.to = end - i0 < n ? end - i0 - 1 : n - 1;
        slots_build(&t->slots);
        const size_t at = (size_t)(i0 + t->slots.from) * row;
        for (size_t kv = 0; kv < c->kv_heads; ++kv) {
            t->apart_offset = own == NULL ? 0 : kv * own->plane;
            t->together_offset = kv * t->dim;
            for (size_t g = 0; g < group; g += TILE_VECTORS * each) {
                const size_t h = (kv * group + g) * t->dim, heads = group - g;
                switch ((heads - 1) / each) {
                case 0: tile_heads(t, q + at + h, out + at + h, row, heads, 1); break;
                case 1: tile_heads(t, q + at + h, out + at + h, row, heads, 2); break;
                case 2: tile_heads(t, q + at + h, out + at + h, row, heads, 3); break;
                default: tile_heads(t, q + at + h, out + at + h, row, heads < TILE_VECTORS * each ? heads : TILE_VECTORS * each, 4); break;
                }
            }
        }
    }
    return v_all_finite(v_load(t->worst));
}
