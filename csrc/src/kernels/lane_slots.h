/* Which keys a tile of consecutive queries sees, as slots in candidate order (docs/spec/pattern.md). A slot is either a
   distance (lane l sees token i0 + l - distance) or one row for all lanes (a global token or a block mean); its lane mask
   says who sees it. For each lane, the slots with its bit are exactly its candidates, in their order: a global token goes
   between two distances for just those lanes whose own distance to it lies between the two. Under the pyramid every slot is
   one row: queries whose windows begin in one block see the same runs, and their tokens are the same but for the newest. */

typedef struct lane_slot {
    const float *k, *v; /* key/value head 0 of the row, or of the distance's first lane in the transposed copy */
    uint32_t lanes;
    uint32_t shared; /* 1: one row for all lanes */
    float size;      /* tokens that a run stands for */
} lane_slot;

typedef struct lane_slots {
    /* The tile: lane l is query i0 + l % queries; those of lanes from..to are wanted. */
    int64_t i0, from, to;
    size_t queries;  /* LANES, or fewer: then the lanes are those queries under several heads */
    uint32_t repeat; /* a bit for the first lane of each head */
    /* What fills the slots. */
    const aether_plan *plan;
    const float *k, *v; /* transposed copies */
    size_t tree[64];    /* floats before the means of each level of a pyramid */
    /* The slots; `apart` and `together` are the indexes of distances and of shared rows. Slots from n_tokens on have a
       size; the lists are filled up to whole LANE_KEYS. */
    size_t n, n_tokens, n_apart, n_together;
    lane_slot *slot;
    uint32_t *apart, *together;
} lane_slots;

#define LANE_FAR INT64_MAX

/* Layout of a transposed copy. Positions are tokens + LANES, in chunks [dim][LANE_CHUNK + LANES]: a chunk's rows run LANES
   past its own positions, so that every load of LANES positions stays inside one. LANE_CHUNK + LANES spreads the dims over the
   first-level cache. */
#define LANE_CHUNK 64
#define LANE_MAX_TOKENS (SIZE_MAX / 65536) /* more cannot be in memory; below, slot counts do not overflow */
#define LANE_STRIDE (LANE_CHUNK + LANES)

LANE_INLINE size_t lane_position(size_t dim, int64_t token) {
    const size_t p = (size_t)(token + LANES);
    return p / LANE_CHUNK * dim * LANE_STRIDE + p % LANE_CHUNK;
}

/* Bits lo..hi, cut to the wanted lanes. */
static uint32_t slots_mask(const lane_slots *s, int64_t lo, int64_t hi) {
    lo = lo < s->from ? s->from : lo;
    hi = hi > s->to ? s->to : hi;
    return lo > hi ? 0 : (2u << (unsigned)hi) - (1u << (unsigned)lo);
}

static void slots_shared(lane_slots *s, const float *k, const float *v, uint32_t lanes) {
    s->together[s->n_together++] = (uint32_t)s->n;
    s->slot[s->n++] = (lane_slot){k, v, lanes * s->repeat, 1, 1.0f};
}

/* Distances hi, hi-1, .. lo, each once. */
static void slots_distances(lane_slots *s, int64_t hi, int64_t lo) {
    const aether_plan *plan = s->plan;
    const size_t dim = plan->head->config.head_dim;
    const int64_t last = (int64_t)plan->tokens - 1;
    for (int64_t o = hi; o >= lo; --o) {
        const size_t at = lane_position(dim, s->i0 - o);
        s->apart[s->n_apart++] = (uint32_t)s->n;
        s->slot[s->n++] = (lane_slot){s->k + at, s->v + at, slots_mask(s, o - s->i0, last + o - s->i0), 0, 1.0f};
    }
}

/* Global tokens at a distance between hi and lo, both excluded, for the lanes where they are. */
static void slots_globals(lane_slots *s, int64_t hi, int64_t lo) {
    const aether_plan *plan = s->plan;
    const aether_config *c = &plan->head->config;
    if (c->n_globals == 0 || hi - lo <= 1) {
        return;
    }
    const int64_t first = s->i0 + s->from - hi; /* only tokens after this one */
    size_t a = 0, b = c->n_globals;
    while (a < b) {
        const size_t m = a + (b - a) / 2;
        if ((int64_t)c->globals[m] <= first) {
            a = m + 1;
        } else {
            b = m;
        }
    }
    const size_t row = (size_t)c->kv_heads * c->head_dim;
    for (; a < c->n_globals && c->globals[a] < plan->tokens; ++a) {
        const int64_t g = (int64_t)c->globals[a];
        if (lo != -LANE_FAR && g >= s->i0 + s->to - lo) {
            break;
        }
        const int64_t hi_lane = hi == LANE_FAR ? LANES : hi - 1 + g - s->i0;
        const int64_t lo_lane = lo == -LANE_FAR ? 0 : lo + 1 + g - s->i0;
        const uint32_t lanes = slots_mask(s, lo_lane, hi_lane);
        if (lanes) {
            slots_shared(s, plan->rows_k + (size_t)g * row, plan->rows_v + (size_t)g * row, lanes);
        }
    }
}

static void slots_tokens(lane_slots *s) {
    const aether_config *c = &s->plan->head->config;
    const int64_t tokens = (int64_t)s->plan->tokens;
    const int64_t first = s->i0 + s->from, last = s->i0 + s->to;
    const int dense = c->backend == AETHER_DENSE;
    const int64_t window = dense || c->window >= (uint64_t)tokens ? tokens : (int64_t)c->window;
    const int64_t oldest = c->history == 0 || c->history > (uint64_t)tokens ? tokens : (int64_t)c->history - 1;
    const int strides = !dense && c->use_log_stride;
    int64_t above = LANE_FAR; /* the distance before, as seen in candidate order */

    const int64_t far = oldest < last ? oldest : last; /* no lane has a token farther back */
    int64_t o = 1;
    while (o <= far / 2) {
        o *= 2;
    }
    for (; strides && o > window && o <= far; o /= 2) {
        slots_globals(s, above, o);
        slots_distances(s, o, o);
        above = o;
    }
    const int64_t back = window < far ? window : far;
    const int64_t ahead = c->causal ? 0 : window < tokens - 1 - first ? window : tokens - 1 - first;
    slots_globals(s, above, back);
    slots_distances(s, back, -ahead);
    above = -ahead;
    if (c->causal) {
        return;
    }
    for (o = 1; strides && o <= tokens - 1 - first; o *= 2) {
        if (o > window) {
            slots_globals(s, above, -o);
            slots_distances(s, -o, -o);
            above = -o;
        }
    }
    slots_globals(s, above, -LANE_FAR);
}

/* Whether block p - distance is a landmark of a query with pivot p. */
static int slots_sees_block(const aether_config *c, int64_t distance) {
    const int64_t size = distance < 0 ? -distance : distance;
    if (c->causal ? distance < 0 : distance == 0) {
        return 0;
    }
    return size <= 1 || (c->use_log_stride && aether_is_stride((uint64_t)size));
}

static void slots_blocks(lane_slots *s) {
    const aether_plan *plan = s->plan;
    const aether_config *c = &plan->head->config;
    if (c->backend == AETHER_DENSE || !c->use_landmarks || plan->n_blocks == 0) {
        return;
    }
    const int64_t tokens = (int64_t)plan->tokens, n = (int64_t)plan->n_blocks;
    const int64_t size = c->block_size > (uint64_t)tokens ? tokens + 1 : (int64_t)c->block_size;
    const int64_t ahead = c->causal ? 1 : 0; /* pivot p is that of the queries (p + ahead) * size - ahead ... */
    const int64_t p0 = (int64_t)aether_blocks_at(c, (uint64_t)(s->i0 + s->from)) - 1;
    const int64_t p1 = (int64_t)aether_blocks_at(c, (uint64_t)(s->i0 + s->to)) - 1;
    const size_t row = (size_t)c->kv_heads * c->head_dim;

    int64_t o = 1, next = 0;
    while (c->use_log_stride && o <= p1 / 2) {
        o *= 2;
    }
    for (;;) { /* distances o descending; each covers blocks p0 - o .. p1 - o */
        int64_t b = p0 - o > next ? p0 - o : next;
        for (; b <= p1 - o && b < n; ++b) {
            uint32_t lanes = 0;
            for (int64_t p = p0; p <= p1; ++p) {
                if (slots_sees_block(c, p - b)) {
                    lanes |=
                        slots_mask(s, (p + ahead) * size - ahead - s->i0, (p + ahead + 1) * size - ahead - 1 - s->i0);
                }
            }
            if (c->history && c->history <= (uint64_t)tokens) {
                lanes &= slots_mask(s, 0, b * size + (int64_t)c->history - 1 - s->i0);
            }
            if (lanes) {
                slots_shared(s, plan->mean_k + (size_t)b * row, plan->mean_v + (size_t)b * row, lanes);
            }
            next = b + 1;
        }
        if (o > 1) {
            o /= 2;
        } else if (o > (c->causal ? 0 : -1)) {
            --o;
        } else if (!c->causal && c->use_log_stride && p0 - 2 * o < n) {
            o *= 2;
        } else {
            break;
        }
    }
}

/* Appends tokens first .. last, each for the lanes that have it as an entry of its own. */
static void slots_singles(lane_slots *s, int64_t first, int64_t last) {
    const aether_plan *plan = s->plan;
    const aether_config *c = &plan->head->config;
    const int64_t size = (int64_t)c->block_size, window = (int64_t)c->window, tokens = (int64_t)plan->tokens;
    const size_t row = (size_t)c->kv_heads * c->head_dim;
    for (int64_t t = first; t <= last; ++t) {
        const int64_t block = t & -size;
        const int tail = !c->causal && block + size > tokens; /* of an incomplete block: everybody has it */
        const int64_t since = tail ? 0 : c->causal ? t : block - window, until = tail ? tokens : block + size - 1 + window;
        const uint32_t lanes = slots_mask(s, since - s->i0, until - s->i0);
        slots_shared(s, plan->rows_k + (size_t)t * row, plan->rows_v + (size_t)t * row, lanes);
    }
}

static void slots_run(lane_slots *s, const aether_pyramid_walk *run, uint32_t lanes) {
    const aether_plan *plan = s->plan;
    const aether_config *c = &plan->head->config;
    const size_t at = s->tree[run->level] + (size_t)(run->begin >> run->level) * c->kv_heads * c->head_dim;
    slots_shared(s, plan->mean_k + at, plan->mean_v + at, lanes);
    s->slot[s->n - 1].size = (float)(c->block_size << run->level);
}

/* Appends the runs before (back 1) or after the windows that end at blocks edge .. last. Their lists are merged: the run that begins
   nearest to a window comes first, as in each list. */
static void slots_runs(lane_slots *s, uint64_t edge, uint64_t last, int back) {
    const aether_plan *plan = s->plan;
    const aether_config *c = &plan->head->config;
    const int64_t size = (int64_t)c->block_size, window = (int64_t)c->window;
    const size_t n = (size_t)(last - edge + 1);
    aether_pyramid_walk walk[LANES];
    int more[LANES];
    for (size_t w = 0; w < n; ++w) {
        aether_pyramid_begin(c, edge + w, plan->tokens / c->block_size, back, &walk[w]);
        more[w] = aether_pyramid_next(&walk[w]);
    }
    if (n == 1) {
        const uint32_t lanes = slots_mask(s, 0, LANES - 1);
        for (; more[0]; more[0] = aether_pyramid_next(&walk[0])) {
            slots_run(s, &walk[0], lanes);
        }
        return;
    }
    for (;;) {
        size_t nearest = n;
        for (size_t w = 0; w < n; ++w) {
            if (more[w] && (nearest == n || (back ? walk[w].begin > walk[nearest].begin : walk[w].begin < walk[nearest].begin))) {
                nearest = w;
            }
        }
        if (nearest == n) {
            return;
        }
        const aether_pyramid_walk run = walk[nearest];
        uint32_t lanes = 0;
        for (size_t w = 0; w < n; ++w) {
            if (more[w] && walk[w].begin == run.begin && walk[w].level == run.level) {
                const int64_t block = (int64_t)(edge + w);
                const int64_t i = (back ? block * size + window : (block - 1) * size - window) - s->i0; /* the first such query */
                lanes |= slots_mask(s, i, i + size - 1);
                more[w] = aether_pyramid_next(&walk[w]);
            }
        }
        slots_run(s, &run, lanes);
    }
}

static void slots_pyramid(lane_slots *s) {
    const aether_plan *plan = s->plan;
    const aether_config *c = &plan->head->config;
    const uint64_t size = c->block_size, tokens = plan->tokens;
    const uint64_t first = (uint64_t)(s->i0 + s->from), last = (uint64_t)(s->i0 + s->to);
    const uint64_t before = aether_pyramid_before(c, first);
    if (c->causal) {
        slots_singles(s, (int64_t)(before * size), (int64_t)last);
    } else {
        const uint64_t around = ((last + c->window) / size + 1) * size, tail = tokens / size * size;
        slots_singles(s, (int64_t)(before * size), (int64_t)(around < tokens ? around : tokens) - 1);
        slots_singles(s, (int64_t)(around > tail ? around : tail), (int64_t)tokens - 1);
    }
    s->n_tokens = s->n;
    slots_runs(s, before, aether_pyramid_before(c, last), 1);
    if (!c->causal) {
        slots_runs(s, (first + c->window) / size + 1, (last + c->window) / size + 1, 0);
    }
}

/* Repeats the last of n indexes up to a multiple of LANE_KEYS. */
static void slots_fill(uint32_t *index, size_t n) {
    for (; n % LANE_KEYS != 0; ++n) {
        index[n] = index[n - 1];
    }
}

/* Fills the slots of the tile at i0, lanes from..to. */
static void slots_build(lane_slots *s) {
    s->n = s->n_apart = s->n_together = 0;
    if (aether_is_pyramid(&s->plan->head->config)) {
        slots_pyramid(s);
    } else {
        slots_tokens(s);
        slots_blocks(s);
        s->n_tokens = s->n; /* a landmark weighs as much */
    }
    slots_fill(s->apart, s->n_apart);
    slots_fill(s->together, s->n_together);
}

/* Queries of a tile: as many as there are lanes, or, while they have runs in common, fewer under several heads. */
static size_t slots_queries(const aether_config *c) {
    const size_t group = c->q_heads / c->kv_heads;
    size_t n = LANES;
    while (aether_is_pyramid(c) && n > c->block_size && LANES / n < group) {
        n /= 2;
    }
    return n;
}

static size_t slots_max_pyramid(const aether_config *c, size_t tokens) {
    const size_t queries = slots_queries(c), size = (size_t)c->block_size, ways = c->causal ? 1 : 2;
    const size_t singles = ways * ((size_t)c->window + size) + size + queries;
    const size_t lists = (queries - 1) / size + 2, each = aether_pyramid_max_runs(c, tokens / size);
    return (singles < tokens ? singles : tokens) + lists * each;
}

/* An upper bound of slots a tile. tokens <= LANE_MAX_TOKENS. */
static size_t slots_max(const aether_config *c, size_t tokens) {
    if (aether_is_pyramid(c)) {
        return slots_max_pyramid(c, tokens);
    }
    const size_t ways = c->causal ? 1 : 2;
    const int dense = c->backend == AETHER_DENSE;
    size_t strides = 0, n;
    if (!dense && c->use_log_stride) {
        for (size_t s = 1; s < tokens; s *= 2) {
            strides += ways;
        }
    }
    /* the run of distances around the query */
    if (dense || c->window >= tokens / ways) {
        n = tokens + LANES;
    } else {
        n = ways * (size_t)c->window + 1 + LANES; /* never fewer than for fewer tokens: one scratch serves both */
    }
    n += strides;
    /* globals: each once, and once more for each distance that separates two lanes */
    const size_t globals = c->n_globals < tokens ? c->n_globals : tokens;
    n += globals + (globals < LANES ? globals : LANES) * (strides + 2);
    if (!dense && c->use_landmarks) {
        const size_t blocks = c->block_size > tokens ? 1 : tokens / (size_t)c->block_size + 1;
        n += blocks < LANES * AETHER_MAX_BLOCKS ? blocks : LANES * AETHER_MAX_BLOCKS;
    }
    return n;
}
