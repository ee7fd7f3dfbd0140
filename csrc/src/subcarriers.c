/* Layouts of CSI frames, and the search for wanted subcarriers (docs/spec/subcarriers.md). */
#include "aether/subcarriers.h"

/* The numbers of one training field: two ranges in the order of the pairs; the second may be empty. */
typedef struct order {
    int8_t first;
    uint8_t count;
    int8_t second;
    uint8_t second_count, step;
} order;

enum { WRAP_32, UP_32, UP_TO_30, UP_FROM_30, WRAP_64, WRAP_60, UP_64, UP_26, UP_28, UP_58, UP_122, EVEN_26 };

static const order ORDERS[] = {
    {0, 32, -32, 32, 1},   /* WRAP_32: 0 to 31, -32 to -1 */
    {-32, 64, 0, 0, 1},    /* UP_32: -32 to 31 */
    {-32, 63, 0, 0, 1},    /* UP_TO_30 */
    {-30, 62, 0, 0, 1},    /* UP_FROM_30 */
    {0, 64, -64, 64, 1},   /* WRAP_64 */
    {0, 61, -60, 60, 1},   /* WRAP_60 */
    {-64, 128, 0, 0, 1},   /* UP_64 */
    {-26, 53, 0, 0, 1},    /* UP_26 */
    {-28, 57, 0, 0, 1},    /* UP_28 */
    {-58, 117, 0, 0, 1},   /* UP_58 */
    {-122, 245, 0, 0, 1},  /* UP_122 */
    {-26, 13, 2, 13, 2},   /* EVEN_26: -26, -24 to -2, 2 to 26 */
};

/* A layout: up to three training fields, and the facts that it goes with, as sets of values. */
typedef struct row {
    uint16_t pairs;
    uint8_t family, twelve_bits;
    uint8_t format, forty, stbc, secondary;
    struct {
        uint8_t band, order;
    } fields[3];
} row;

#define NO 1u
#define YES 2u
#define EITHER 3u
#define NON_HT 1u
#define HT 2u
#define HE 4u
#define ALL 7u
#define ALONE 1u    /* without a secondary channel */
#define ABOVE 2u
#define BELOW 4u
#define BESIDE 6u   /* above or below */
#define LLTF(order) {AETHER_BAND_LLTF, order}
#define HTLTF(order) {AETHER_BAND_HTLTF, order}
#define HT40(order) {AETHER_BAND_HTLTF40, order}
#define STBC(order) {AETHER_BAND_STBC, order}
#define STBC40(order) {AETHER_BAND_STBC40, order}
#define HELTF(order) {AETHER_BAND_HELTF, order}
#define EITHER_LTF(order) {AETHER_BAND_ANY, order}
#define END {AETHER_BAND_COUNT, 0}

static const row ROWS[] = {
    {64, AETHER_CSI_CLASSIC, 0, NON_HT, EITHER, EITHER, ALONE, {LLTF(WRAP_32), END, END}},
    {64, AETHER_CSI_CLASSIC, 0, NON_HT, EITHER, EITHER, BESIDE, {LLTF(UP_32), END, END}},
    {64, AETHER_CSI_CLASSIC, 0, HT, NO, EITHER, ALONE, {EITHER_LTF(WRAP_32), END, END}},
    {64, AETHER_CSI_CLASSIC, 0, HT, NO, EITHER, BESIDE, {EITHER_LTF(UP_32), END, END}},
    {64, AETHER_CSI_CLASSIC, 0, HT, YES, EITHER, BESIDE, {LLTF(UP_32), END, END}},
    {128, AETHER_CSI_CLASSIC, 0, HT, NO, NO, ALONE, {LLTF(WRAP_32), HTLTF(WRAP_32), END}},
    {128, AETHER_CSI_CLASSIC, 0, HT, NO, NO, BESIDE, {LLTF(UP_32), HTLTF(UP_32), END}},
    {128, AETHER_CSI_CLASSIC, 0, HT, NO, YES, ALONE, {HTLTF(WRAP_32), STBC(WRAP_32), END}},
    {128, AETHER_CSI_CLASSIC, 0, HT, NO, YES, ALONE, {LLTF(WRAP_32), HTLTF(WRAP_32), END}},
    {128, AETHER_CSI_CLASSIC, 0, HT, YES, NO, BESIDE, {HT40(WRAP_64), END, END}},
    {192, AETHER_CSI_CLASSIC, 0, HT, NO, YES, ALONE, {LLTF(WRAP_32), HTLTF(WRAP_32), STBC(WRAP_32)}},
    {192, AETHER_CSI_CLASSIC, 0, HT, YES, NO, BESIDE, {LLTF(UP_32), HT40(WRAP_64), END}},
    {190, AETHER_CSI_CLASSIC, 0, HT, NO, YES, BELOW, {LLTF(UP_32), HTLTF(UP_TO_30), STBC(UP_TO_30)}},
    {188, AETHER_CSI_CLASSIC, 0, HT, NO, YES, ABOVE, {LLTF(UP_32), HTLTF(UP_FROM_30), STBC(UP_FROM_30)}},
    {306, AETHER_CSI_CLASSIC, 0, HT, YES, YES, BESIDE, {LLTF(UP_32), HT40(WRAP_60), STBC40(WRAP_60)}},
    {53, AETHER_CSI_C5, 0, ALL, EITHER, EITHER, ALL, {LLTF(UP_26), END, END}},
    {26, AETHER_CSI_C5, 1, ALL, EITHER, EITHER, ALL, {LLTF(EVEN_26), END, END}},
    {57, AETHER_CSI_C5, 0, HT, NO, NO, ALL, {HTLTF(UP_28), END, END}},
    {114, AETHER_CSI_C5, 0, HT, NO, YES, ALL, {HTLTF(UP_28), STBC(UP_28), END}},
    {117, AETHER_CSI_C5, 0, HT, YES, NO, BESIDE, {HT40(UP_58), END, END}},
    {234, AETHER_CSI_C5, 0, HT, YES, YES, BESIDE, {HT40(UP_58), STBC40(UP_58), END}},
    {245, AETHER_CSI_C5, 0, HE, NO, EITHER, ALL, {HELTF(UP_122), END, END}},
    {64, AETHER_CSI_C5, 0, ALL, NO, NO, ALL, {EITHER_LTF(UP_32), END, END}}, /* as recorders pad it */
    {64, AETHER_CSI_C6, 0, NON_HT, NO, NO, ALL, {LLTF(UP_32), END, END}},
    {64, AETHER_CSI_C6, 0, HT, NO, NO, ALL, {HTLTF(UP_32), END, END}},
    {128, AETHER_CSI_C6, 0, HT, YES, NO, BESIDE, {HT40(UP_64), END, END}},
    {128, AETHER_CSI_C6, 0, HT, NO, YES, ALL, {HTLTF(UP_32), STBC(UP_32), END}},
};

static int goes_with(uint8_t values, uint8_t fact) {
    return fact == AETHER_CSI_UNKNOWN || (fact < 8 && ((unsigned)values >> fact & 1u) != 0);
}

static int matches(const row *r, const aether_csi_facts *facts, size_t n_pairs) {
    return r->pairs == n_pairs && r->family == facts->family && r->twelve_bits == facts->twelve_bits &&
           goes_with(r->format, facts->format) && goes_with(r->forty, facts->forty) && goes_with(r->stbc, facts->stbc) &&
           goes_with(r->secondary, facts->secondary);
}

static void append(aether_layout *layout, uint8_t band, const order *o) {
    aether_run *run = &layout->runs[layout->n_runs++];
    run->first = o->first;
    run->count = o->count;
    run->step = o->step;
    run->band = band;
    if (o->second_count > 0) {
        run = &layout->runs[layout->n_runs++];
        run->first = o->second;
        run->count = o->second_count;
        run->step = o->step;
        run->band = band;
    }
}

static void expand(const row *r, aether_layout *layout) {
    size_t i;
    layout->n_runs = 0;
    for (i = 0; i < 3 && r->fields[i].band < AETHER_BAND_COUNT; i++) {
        append(layout, r->fields[i].band, &ORDERS[r->fields[i].order]);
    }
}

/* Two layouts that the facts leave, as one: where they differ in L-LTF or HT-LTF alone, the band is ANY. 0: they differ in more. */
static int merge(aether_layout *layout, const aether_layout *other) {
    size_t i;
    if (layout->n_runs != other->n_runs) {
        return 0;
    }
    for (i = 0; i < layout->n_runs; i++) {
        aether_run *a = &layout->runs[i];
        const aether_run *b = &other->runs[i];
        if (a->first != b->first || a->count != b->count || a->step != b->step) {
            return 0;
        }
        if (a->band != b->band) {
            if (a->band > AETHER_BAND_HTLTF || b->band > AETHER_BAND_HTLTF) {
                return 0;
            }
            a->band = AETHER_BAND_ANY;
        }
    }
    return 1;
}

aether_status aether_layout_of(const aether_csi_facts *facts, size_t n_pairs, aether_layout *layout) {
    aether_layout found, other;
    size_t i, rows = 0;
    if (facts == NULL || layout == NULL) {
        return AETHER_E_ARGUMENT;
    }
    for (i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (matches(&ROWS[i], facts, n_pairs)) {
            expand(&ROWS[i], rows == 0 ? &found : &other);
            if (rows++ > 0 && !merge(&found, &other)) {
                return AETHER_E_CONFIG;
            }
        }
    }
    if (rows == 0) {
        return AETHER_E_SHAPE;
    }
    *layout = found;
    return AETHER_OK;
}

/* The pair of a subcarrier; SIZE_MAX when there is none. */
static size_t pair_in(const aether_run *runs, size_t n_runs, uint8_t band, int32_t number) {
    size_t pair = 0, i;
    for (i = 0; i < n_runs; i++) {
        const int32_t ahead = number - runs[i].first;
        const int32_t step = runs[i].step;
        if (runs[i].band == band && ahead >= 0 && ahead % step == 0 && ahead / step < runs[i].count) {
            return pair + (size_t)(ahead / step);
        }
        pair += runs[i].count;
    }
    return SIZE_MAX;
}

/* The outermost subcarrier of L-LTF that carries a signal. Its frames have pairs beyond, which are empty. */
#define LLTF_REACH 26

/* The pair of a wanted subcarrier of band ANY in one of the bands that it may come from: of L-LTF, never an empty one. */
static size_t any_pair_in(const aether_run *runs, size_t n_runs, uint8_t band, int32_t number) {
    if (band == AETHER_BAND_LLTF && (number < -LLTF_REACH || number > LLTF_REACH)) {
        return SIZE_MAX;
    }
    return pair_in(runs, n_runs, band, number);
}

uint8_t aether_any_band(const aether_run *runs, size_t n_runs, const aether_wanted *wanted) {
    static const uint8_t ORDER[] = {AETHER_BAND_LLTF, AETHER_BAND_HTLTF, AETHER_BAND_ANY};
    uint8_t there = AETHER_BAND_ANY; /* the first that the frame has at all */
    size_t i, f;
    for (i = sizeof ORDER; i-- > 0;) {
        for (f = 0; f < n_runs; f++) {
            there = runs[f].band == ORDER[i] ? ORDER[i] : there;
        }
    }
    for (i = 0; i < sizeof ORDER; i++) {
        for (f = 0; f < wanted->n; f++) {
            if (wanted->bands[f] == AETHER_BAND_ANY && any_pair_in(runs, n_runs, ORDER[i], wanted->numbers[f]) == SIZE_MAX) {
                break;
            }
        }
        if (f == wanted->n) {
            return ORDER[i];
        }
    }
    return there;
}

size_t aether_pair_of(const aether_run *runs, size_t n_runs, const aether_wanted *wanted, uint8_t any_band, size_t f) {
    const uint8_t band = wanted->bands[f];
    const int32_t number = wanted->numbers[f];
    return band == AETHER_BAND_ANY ? any_pair_in(runs, n_runs, any_band, number) : pair_in(runs, n_runs, band, number);
}

aether_status aether_subcarriers_find(const aether_run *runs, size_t n_runs, const aether_wanted *wanted, uint16_t *index,
                                      size_t *missing) {
    uint8_t any;
    size_t f;
    if ((runs == NULL && n_runs > 0) || wanted == NULL || (index == NULL && wanted->n > 0)) {
        return AETHER_E_ARGUMENT;
    }
    any = aether_any_band(runs, n_runs, wanted);
    for (f = 0; f < wanted->n; f++) {
        const size_t pair = aether_pair_of(runs, n_runs, wanted, any, f);
        if (pair > UINT16_MAX) {
            if (missing != NULL) {
                *missing = f;
            }
            return AETHER_E_SHAPE;
        }
        index[f] = (uint16_t)pair;
    }
    return AETHER_OK;
}
