/* Attention in integers over the rows of a layer's cache (docs/spec/integers.md). */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-schedule-insns") /* it spills what the loops hold in registers */
#endif

#include "int8_stream.h"

#include "bits.h"
#include "cache_layout.h"
#include "candidates.h"
#include "pyramid.h"

/* 2^15 * 2^(-f/256), rounded. */
static const uint16_t POWERS[256] = {
    32768, 32679, 32591, 32503, 32415, 32327, 32240, 32153, 32066, 31979, 31893, 31806, 31720, 31635, 31549, 31464,
    31379, 31294, 31209, 31125, 31041, 30957, 30873, 30790, 30706, 30623, 30541, 30458, 30376, 30293, 30212, 30130,
    30048, 29967, 29886, 29805, 29725, 29644, 29564, 29484, 29405, 29325, 29246, 29167, 29088, 29009, 28931, 28852,
    28774, 28697, 28619, 28542, 28464, 28388, 28311, 28234, 28158, 28082, 28006, 27930, 27855, 27779, 27704, 27629,
    27554, 27480, 27406, 27332, 27258, 27184, 27110, 27037, 26964, 26891, 26818, 26746, 26674, 26601, 26530, 26458,
    26386, 26315, 26244, 26173, 26102, 26031, 25961, 25891, 25821, 25751, 25681, 25612, 25543, 25474, 25405, 25336,
    25268, 25199, 25131, 25063, 24995, 24928, 24860, 24793, 24726, 24659, 24593, 24526, 24460, 24394, 24328, 24262,
    24196, 24131, 24066, 24001, 23936, 23871, 23806, 23742, 23678, 23614, 23550, 23486, 23423, 23359, 23296, 23233,
    23170, 23108, 23045, 22983, 22921, 22859, 22797, 22735, 22674, 22613, 22552, 22491, 22430, 22369, 22309, 22248,
    22188, 22128, 22068, 22009, 21949, 21890, 21831, 21772, 21713, 21654, 21595, 21537, 21479, 21421, 21363, 21305,
    21247, 21190, 21133, 21076, 21019, 20962, 20905, 20849, 20792, 20736, 20680, 20624, 20568, 20513, 20457, 20402,
    20347, 20292, 20237, 20182, 20127, 20073, 20019, 19965, 19911, 19857, 19803, 19750, 19696, 19643, 19590, 19537,
    19484, 19431, 19379, 19326, 19274, 19222, 19170, 19118, 19066, 19015, 18963, 18912, 18861, 18810, 18759, 18708,
    18658, 18607, 18557, 18507, 18457, 18407, 18357, 18308, 18258, 18209, 18160, 18110, 18061, 18013, 17964, 17915,
    17867, 17819, 17770, 17722, 17674, 17627, 17579, 17531, 17484, 17437, 17390, 17343, 17296, 17249, 17202, 17156,
    17109, 17063, 17017, 16971, 16925, 16879, 16834, 16788, 16743, 16697, 16652, 16607, 16562, 16518, 16473, 16428,
};

static uint32_t weight_of(uint32_t below) {
    const uint32_t whole = below >> 8;
    return whole < 16 ? (POWERS[below & 255] + ((1u << whole) >> 1)) >> whole : 0;
}

static size_t most_seen(const aether_config *own) {
    return aether_candidates_max(own, UINT64_MAX);
}

#define FOUR ((size_t)4) /* query heads that go together */

/* How many values of a row are weighted at a time for them: with 16 sums, 4 weights and a value a RISC-V has registers left. */
#if defined(__riscv)
#define VALUES ((size_t)4)
#else
#define VALUES ((size_t)2)
#endif

/* Scratch: keys, values and sizes [n], scores [n][FOUR], queries [FOUR][dim]. */
size_t aether_int8_attend_bytes(const aether_config *own) {
    const size_t n = most_seen(own); /* at most 440, see aether_int8_check */
    return n * (3 + FOUR) * sizeof(int32_t) + FOUR * own->head_dim * sizeof(int16_t);
}

void aether_int8_list_seen(const aether_cache *cache, unsigned char *scratch, aether_int8_seen *seen) {
    const aether_config *config = &cache->head.config;
    const aether_cache_layout *at = &cache->at;
    const uint64_t before = aether_pyramid_before(config, cache->length), first = before * config->block_size;
    const size_t most = most_seen(config), n_tokens = (size_t)(cache->length - first) + 1;
    const uint32_t row = (uint32_t)at->row, end = (uint32_t)(at->rows_k + at->n_rows * at->row);
    const uint32_t token_step = (uint32_t)(at->rows_v - at->rows_k), mean_step = (uint32_t)(at->mean_v - at->mean_k);
    const int32_t block = 256 * ((int32_t)aether_int8_bits((uint32_t)config->block_size) - 1);
    aether_pyramid_walk walk;
    uint32_t key = (uint32_t)(at->rows_k + aether_ring(first, at->n_rows) * at->row);
    size_t n;
    seen->keys = (uint32_t *)(void *)scratch;
    seen->values = seen->keys + most;
    seen->sizes = (int32_t *)(void *)(seen->values + most);
    seen->scores = seen->sizes + most;
    seen->turns = (int16_t *)(void *)(seen->scores + FOUR * most);
    for (n = 0; n < n_tokens; n++) {
        seen->keys[n] = key;
        seen->values[n] = key + token_step;
        seen->sizes[n] = 0;
        key = key + row < end ? key + row : (uint32_t)at->rows_k;
    }
    aether_pyramid_begin(config, before, 0, 1, &walk);
    for (; aether_pyramid_next(&walk); n++) {
        seen->keys[n] = (uint32_t)(at->mean_k + aether_mean_row(cache, walk.level, walk.begin >> walk.level) * at->row);
        seen->values[n] = seen->keys[n] + mean_step;
        seen->sizes[n] = block + 256 * (int32_t)walk.level;
    }
    seen->n = n;
}

/* Scores of a query head, every `step`-th of `scores` -> weights, in place; their sum. */
static uint32_t weigh(int32_t *scores, size_t n, size_t step) {
    const int32_t *const end = scores + n * step;
    int32_t top = scores[0], *at;
    uint32_t sum = 0;
    for (at = scores + step; at != end; at += step) {
        top = *at > top ? *at : top;
    }
    for (at = scores; at != end; at += step) {
        const uint32_t weight = weight_of((uint32_t)(top - *at));
        *at = (int32_t)weight;
        sum += weight;
    }
    return sum;
}

/* What sums of weighted values are divided by: a shift and a factor. */
typedef struct divisor {
    unsigned shift;
    int32_t factor;
} divisor;

static divisor divisor_of(uint32_t sum) {
    const unsigned bits = aether_int8_bits(sum);
    const divisor by = {24 - bits, (int32_t)(aether_int8_reciprocal(sum, bits) << 14)};
    return by;
}

/* acc / sum * 16, rounded. */
static inline int16_t divide(int32_t acc, unsigned shift, int32_t factor) {
    return (int16_t)((aether_int8_high(acc * (int32_t)(1u << shift), factor) + 0x10000) >> 17);
}

/* One query head over the rows of its key/value head, whose first byte in the layer's memory is `rows`. */
static void attend_one(const aether_int8_seen *seen, const int8_t *rows, size_t dim, const int16_t *q, int32_t multiplier, int16_t *a) {
    divisor by;
    size_t j, d;
    for (j = 0; j < seen->n; j++) {
        const int8_t *key = rows + seen->keys[j];
        int32_t s = 0;
        for (d = 0; d < dim; d++) {
            s += q[d] * key[d];
        }
        seen->scores[j] = aether_int8_narrow(s, multiplier) + seen->sizes[j];
    }
    by = divisor_of(weigh(seen->scores, seen->n, 1));
    for (d = 0; d < dim; d++) {
        int32_t acc = 0;
        for (j = 0; j < seen->n; j++) {
            acc += seen->scores[j] * rows[seen->values[j] + d];
        }
        a[d] = divide(acc, by.shift, by.factor);
    }
}

/* Scores of four query heads, whose values take turns in q, with two rows; dim is even. */
static void score_two(const int8_t *key, const int8_t *other, size_t dim, const int16_t *q, const int32_t *m, int32_t *s, int32_t *t) {
    const int8_t *const end = key + dim;
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
    for (; key != end; key += 2, other += 2, q += 8) {
        const int32_t a = key[0], b = other[0], q0 = q[0], q1 = q[1], q2 = q[2], q3 = q[3];
        const int32_t c = key[1], d = other[1], q4 = q[4], q5 = q[5], q6 = q[6], q7 = q[7];
        a0 += a * q0, a1 += a * q1, a2 += a * q2, a3 += a * q3;
        b0 += b * q0, b1 += b * q1, b2 += b * q2, b3 += b * q3;
        a0 += c * q4, a1 += c * q5, a2 += c * q6, a3 += c * q7;
        b0 += d * q4, b1 += d * q5, b2 += d * q6, b3 += d * q7;
    }
    s[0] = aether_int8_narrow(a0, m[0]), s[1] = aether_int8_narrow(a1, m[1]);
    s[2] = aether_int8_narrow(a2, m[2]), s[3] = aether_int8_narrow(a3, m[3]);
    t[0] = aether_int8_narrow(b0, m[0]), t[1] = aether_int8_narrow(b1, m[1]);
    t[2] = aether_int8_narrow(b2, m[2]), t[3] = aether_int8_narrow(b3, m[3]);
}

/* VALUES values of n rows, weighted for four query heads: acc [VALUES][FOUR]. */
static void add_weighted(const int8_t *values, const uint32_t *at, size_t n, const int32_t *weights, int32_t *acc) {
    const uint32_t *const end = at + n;
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
#if defined(__riscv)
    int32_t c0 = 0, c1 = 0, c2 = 0, c3 = 0, d0 = 0, d1 = 0, d2 = 0, d3 = 0;
#endif
    for (; at != end; weights += FOUR) {
        const int8_t *value = values + *at++;
        const int32_t w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
        a0 += value[0] * w0, a1 += value[0] * w1, a2 += value[0] * w2, a3 += value[0] * w3;
        b0 += value[1] * w0, b1 += value[1] * w1, b2 += value[1] * w2, b3 += value[1] * w3;
#if defined(__riscv)
        c0 += value[2] * w0, c1 += value[2] * w1, c2 += value[2] * w2, c3 += value[2] * w3;
        d0 += value[3] * w0, d1 += value[3] * w1, d2 += value[3] * w2, d3 += value[3] * w3;
#endif
    }
    acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3, acc[4] = b0, acc[5] = b1, acc[6] = b2, acc[7] = b3;
#if defined(__riscv)
    acc[8] = c0, acc[9] = c1, acc[10] = c2, acc[11] = c3, acc[12] = d0, acc[13] = d1, acc[14] = d2, acc[15] = d3;
#endif
}

/* attend_one of four query heads that share their rows, of a dim that VALUES divides: each row is read once for all. */
static void attend_four(const aether_int8_seen *seen, const int8_t *rows, size_t dim, const int16_t *q, const int32_t *multipliers, int16_t *a) {
    const size_t n = seen->n;
    int32_t *scores = seen->scores;
    int16_t *turns = seen->turns;
    divisor by[FOUR];
    size_t j, d, h, i;
    for (d = 0; d < dim; d++, turns += FOUR) {
        turns[0] = q[d], turns[1] = q[dim + d], turns[2] = q[2 * dim + d], turns[3] = q[3 * dim + d];
    }
    for (j = 0; j < n; j += 2) {
        const size_t other = j + 1 < n ? j + 1 : j; /* the last row's scores are written twice */
        score_two(rows + seen->keys[j], rows + seen->keys[other], dim, seen->turns, multipliers, scores + FOUR * j, scores + FOUR * other);
    }
    for (j = 0; j < n; j++, scores += FOUR) {
        const int32_t size = seen->sizes[j];
        scores[0] += size, scores[1] += size, scores[2] += size, scores[3] += size;
    }
    for (h = 0; h < FOUR; h++) {
        by[h] = divisor_of(weigh(seen->scores + h, n, FOUR));
    }
    for (d = 0; d < dim; d += VALUES) {
        int32_t acc[FOUR * VALUES];
        add_weighted(rows + d, seen->values, n, seen->scores, acc);
        for (h = 0; h < FOUR; h++) {
            const unsigned shift = by[h].shift;
            const int32_t factor = by[h].factor;
            int16_t *to = a + h * dim + d;
            for (i = 0; i < VALUES; i++) {
                to[i] = divide(acc[FOUR * i + h], shift, factor);
            }
        }
    }
}

void aether_int8_attend(const aether_cache *cache, const aether_int8_seen *seen, const int16_t *q, const int32_t *score, int16_t *a) {
    const aether_config *config = &cache->head.config;
    const size_t dim = config->head_dim, group = config->q_heads / config->kv_heads;
    size_t kv, h;
    for (kv = 0; kv < config->kv_heads; kv++) {
        const int8_t *rows = (const int8_t *)cache->memory + kv * dim;
        for (h = kv * group; (kv + 1) * group - h >= FOUR && dim % VALUES == 0; h += FOUR) {
            attend_four(seen, rows, dim, q + h * dim, score + h, a + h * dim);
        }
        for (; h < (kv + 1) * group; h++) {
            attend_one(seen, rows, dim, q + h * dim, score[h], a + h * dim);
        }
    }
}
