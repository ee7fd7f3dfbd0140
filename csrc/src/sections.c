/* The sections of a blob (docs/spec/rvne.md), read by the lists of sections.h. Every length is compared with what is left before
   it is used. */
#include "aether/subcarriers.h"
#include "bits.h"
#include "fpenv.h"
#include "model_layout.h"

/* What is left of a section's payload, and where errors go. */
typedef struct cursor {
    const unsigned char *blob;
    uint32_t at, end;
    const char *section;
    aether_detail *detail;
    aether_status status;
} cursor;

static AETHER_NOINLINE void reject(cursor *c, const char *field, const char *expected, uint64_t found, uint32_t at) {
    if (c->status == AETHER_OK) {
        c->status = aether_fail(c->detail, AETHER_E_BLOB_HEADER, field, expected, found, at);
    }
}

/* The next `count` elements, or NULL (and the status set) when the section is shorter. */
static AETHER_NOINLINE const unsigned char *take(cursor *c, uint64_t count, uint32_t element) {
    const unsigned char *p = c->blob + c->at;
    if (c->status != AETHER_OK) {
        return NULL;
    }
    if (count > (c->end - c->at) / element) {
        reject(c, c->section, "a section long enough for its fields", c->end - c->at, c->at);
        return NULL;
    }
    c->at += (uint32_t)count * element;
    return p;
}

static AETHER_NOINLINE uint32_t take_u32(cursor *c) {
    const unsigned char *p = take(c, 1, 4);
    return p != NULL ? aether_get_u32(p) : 0;
}

static const void *take_finite(cursor *c, aether_dtype dtype, uint64_t count) {
    const uint32_t at = c->at;
    const void *base = take(c, count, (uint32_t)aether_element(dtype));
    if (base != NULL) {
        const size_t bad = aether_first_not_finite(dtype, base, (size_t)count);
        if (bad < count) {
            reject(c, c->section, "finite numbers", aether_element_bits(dtype, base, bad),
                   at + (uint32_t)(bad * aether_element(dtype)));
        }
    }
    return base;
}

static AETHER_NOINLINE uint32_t take_in(cursor *c, const char *field, const char *expected, uint32_t least, uint32_t most) {
    const uint32_t at = c->at, value = take_u32(c);
    if (value < least || value > most) {
        reject(c, field, expected, value, at);
    }
    return value;
}

/* Bits of pattern.switches. */
enum { LOG_STRIDE = 1, LANDMARKS = 2, PYRAMID = 8 };

/* What the core demands of a pattern is checked when the model's head is made of it. */
static void pattern(cursor *c, aether_model *m, aether_config *config) {
    uint32_t switches;
    (void)m;
    config->window = take_u32(c);
    if (config->window == UINT32_MAX) {
        config->window = AETHER_UNLIMITED;
    }
    config->block_size = take_in(c, "pattern.block_size", "at least 1", 1, UINT32_MAX);
    config->history = take_u32(c);
    switches = take_u32(c);
    if ((switches & ~(uint32_t)(LOG_STRIDE | LANDMARKS | PYRAMID)) != 0) {
        reject(c, "pattern.switches", "bits 0, 1 and 3 only", switches, c->at - 4);
    }
    config->use_log_stride = (switches & LOG_STRIDE) != 0;
    config->use_landmarks = (switches & LANDMARKS) != 0;
    config->pattern = (switches & PYRAMID) != 0 ? AETHER_PYRAMID : AETHER_REFERENCE;
    config->n_globals = take_u32(c);
    config->globals = (const uint32_t *)(const void *)take(c, config->n_globals, 4);
}

static void subcarriers(cursor *c, aether_model *m, aether_config *config) {
    uint32_t f, at;
    (void)config;
    m->n_pairs = take_in(c, "subcarriers.n_pairs", "1 to 65535", 1, UINT16_MAX);
    at = c->at;
    m->subcarriers = (const uint16_t *)(const void *)take(c, m->header.input_dim, 2);
    for (f = 0; c->status == AETHER_OK && f < m->header.input_dim; f++) {
        if (m->subcarriers[f] >= m->n_pairs) {
            reject(c, "subcarriers.index", "less than n_pairs", m->subcarriers[f], at + 2 * f);
        }
    }
}

static int is_repeated(const aether_model *m, uint32_t f) {
    uint32_t before;
    for (before = 0; before < f; before++) {
        if (m->numbers[before] == m->numbers[f] && m->bands[before] == m->bands[f]) {
            return 1;
        }
    }
    return 0;
}

/* The walk ends at the first fault, so at the latest behind all distinct subcarriers, whatever input_dim is. */
static void subcarrier_numbers(cursor *c, aether_model *m, aether_config *config) {
    const uint32_t at = c->at, n = m->header.input_dim;
    uint32_t f;
    (void)config;
    m->numbers = (const int16_t *)(const void *)take(c, n, 2);
    m->bands = take(c, n, 1);
    for (f = 0; c->status == AETHER_OK && f < n; f++) {
        if (m->numbers[f] < -AETHER_MAX_SUBCARRIER || m->numbers[f] > AETHER_MAX_SUBCARRIER) {
            reject(c, "subcarrier_numbers.number", "-511 to 511", (uint16_t)m->numbers[f], at + 2 * f);
        } else if (m->bands[f] >= AETHER_BAND_COUNT) {
            reject(c, "subcarrier_numbers.band", "at most 6", m->bands[f], at + 2 * n + f);
        } else if (is_repeated(m, f)) {
            reject(c, "subcarrier_numbers", "each subcarrier once", (uint16_t)m->numbers[f], at + 2 * f);
        }
    }
}

/* 1 for well-formed UTF-8 (RFC 3629). */
static int is_utf8(const unsigned char *p, size_t n) {
    size_t i = 0;
    while (i < n) {
        const unsigned char lead = p[i++];
        const unsigned more = lead < 0x80 ? 0 : lead >= 0xC2 && lead < 0xE0 ? 1 : (lead & 0xF0) == 0xE0 ? 2
                                                : lead >= 0xF0 && lead < 0xF5 ? 3 : 4;
        unsigned k;
        if (more > 3 || more > n - i) {
            return 0;
        }
        for (k = 0; k < more; k++) {
            const unsigned char least = k > 0 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
            const unsigned char most = k > 0 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
            if (p[i + k] < least || p[i + k] > most) {
                return 0;
            }
        }
        i += more;
    }
    return 1;
}

/* What is left of the section. */
static const char *take_text(cursor *c, size_t *bytes) {
    const unsigned char *p = c->blob + c->at;
    *bytes = c->end - c->at;
    if (!is_utf8(p, *bytes)) {
        reject(c, c->section, "UTF-8", 0, c->at);
    }
    c->at = c->end;
    return (const char *)p;
}

static void class_names(cursor *c, aether_model *m, aether_config *config) {
    const uint32_t at = c->at;
    uint32_t names = 0, i;
    (void)config;
    m->class_names = take_text(c, &m->class_names_bytes);
    for (i = 0; c->status == AETHER_OK && i < m->class_names_bytes; i++) {
        names += m->class_names[i] == '\0';
    }
    if (names != m->header.n_classes || m->class_names[m->class_names_bytes - 1] != '\0') { /* n_classes is 2 or more */
        reject(c, "class_names", "n_classes strings, each ended by a zero byte", names, at);
    }
}

static void provenance(cursor *c, aether_model *m, aether_config *config) {
    (void)config;
    m->provenance = take_text(c, &m->provenance_bytes);
}

static void feed_forward(cursor *c, aether_model *m, aether_config *config) {
    (void)config;
    if (m->arrays[AETHER_NORM_WEIGHT] == NULL) {
        reject(c, "feed_forward", "a norm section before it", 0, c->at);
    }
}

static void pooling(cursor *c, aether_model *m, aether_config *config) {
    (void)config;
    if (m->pool_kind == 0 && m->pool_frames > 1) {
        reject(c, "pooling.n", "1 for newest, 1 to 65535 for mean", m->pool_frames, c->at - 4);
    }
}

static void timing(cursor *c, aether_model *m, aether_config *config) {
    const uint32_t period = m->resample_period;
    (void)config;
    if (m->resample_max_gap < period || m->resample_max_gap > (uint64_t)period * AETHER_RESAMPLE_MAX_DUE) {
        reject(c, "timing.max_gap", period == 0 ? "0 without a period" : "period to 256 periods, at most 16777216",
               m->resample_max_gap, c->at - 4);
    }
}

static void integers(cursor *c, aether_model *m, aether_config *config) {
    (void)config;
    if (m->dtype != AETHER_INT8) {
        reject(c, "integers", "flag bit 2, which says that the model is in integers", m->header.flags, c->at);
    }
}

/* One row of AETHER_SECTIONS. `rule` reads the payload, or checks what was read when the section has values or arrays. */
typedef struct section {
    const char *name;
    void (*rule)(cursor *c, aether_model *m, aether_config *config);
} section;

#define plain NULL
static const section SECTIONS[AETHER_SECTION_COUNT] = {
#define AETHER_X(NAME, name, rule) {name, rule},
    AETHER_SECTIONS(AETHER_X)
#undef AETHER_X
};
#undef plain

/* One row of AETHER_VALUES. */
typedef struct value {
    uint16_t section, member;
    uint32_t least, most;
    const char *name, *expected;
} value;

static const value VALUES[] = {
#define AETHER_X(SECTION, member, name, least, most, expected) \
    {AETHER_SECTION_##SECTION, offsetof(aether_model, member), least, most, name, expected},
    AETHER_VALUES(AETHER_X)
#undef AETHER_X
};

/* By its bits: a caller's denormals-are-zero does not count here. */
static int positive(uint32_t bits) {
    return bits != 0 && bits < 0x7F800000u;
}

static void read_values(cursor *c, uint32_t id, aether_model *m) {
    size_t i;
    for (i = 0; i < sizeof VALUES / sizeof VALUES[0]; i++) {
        const value *v = &VALUES[i];
        if (v->section == id) {
            const uint32_t at = c->at, bits = take_u32(c);
            const int real = v->least == 0 && v->most == 0;
            if (real ? !positive(bits) : bits < v->least || bits > v->most) {
                reject(c, v->name, v->expected, bits, at);
            }
            memcpy((unsigned char *)m + v->member, &bits, sizeof bits);
        }
    }
}

/* Points the model at the `n` arrays from `first` on, which begin at `base` and stand together. */
static void place(aether_model *m, size_t first, size_t n, uint32_t layer_bytes, const unsigned char *base) {
    size_t i;
    for (i = first; i < first + n; i++) {
        const aether_array_row *row = &aether_array_rows[i];
        const uint64_t elements = aether_array_elements(m, row);
        m->arrays[i] = elements > 0 ? base : NULL;
        m->strides[i] = layer_bytes;
        base += (size_t)elements * aether_element(row->matrix ? m->dtype : AETHER_BINARY32);
    }
}

/* Elements a layer of the `n` arrays from `first` on; *times is how often they stand there. UINT64_MAX: beyond any blob. */
static uint64_t run_elements(const aether_model *m, size_t first, size_t n, uint32_t *times) {
    uint64_t sum = 0;
    size_t i;
    for (i = first; i < first + n; i++) {
        sum += aether_array_elements(m, &aether_array_rows[i]);
    }
    *times = aether_array_rows[first].each_layer ? m->header.n_layers : 1u;
    return sum <= UINT32_MAX ? sum : UINT64_MAX;
}

static void read_arrays(cursor *c, uint32_t id, aether_model *m) {
    size_t first, n;
    for (first = 0; first < AETHER_ARRAY_COUNT && c->status == AETHER_OK; first += n) {
        n = aether_array_run(first);
        if (aether_array_rows[first].section == id) {
            const aether_dtype dtype = aether_array_rows[first].matrix ? m->dtype : aether_vector_dtype(m);
            uint32_t times;
            const uint64_t elements = run_elements(m, first, n, &times);
            const void *base = take_finite(c, dtype, elements <= UINT32_MAX ? elements * times : UINT64_MAX);
            if (base != NULL) {
                place(m, first, n, (uint32_t)(elements * aether_element(dtype)), base);
            }
        }
    }
}

uint64_t aether_core_elements(const aether_model *m) {
    uint64_t sum = 0;
    size_t first, n;
    for (first = 0; aether_array_rows[first].section == AETHER_SECTION_CORE; first += n) {
        uint32_t times;
        uint64_t elements;
        n = aether_array_run(first);
        elements = run_elements(m, first, n, &times);
        if (elements > UINT32_MAX) {
            return UINT64_MAX;
        }
        sum += elements * times;
    }
    return sum;
}

void aether_core_place(aether_model *m) {
    const unsigned char *base = m->blob + AETHER_RVNE_HEADER_BYTES;
    size_t first, n;
    for (first = 0; aether_array_rows[first].section == AETHER_SECTION_CORE; first += n) {
        uint32_t times;
        size_t bytes;
        n = aether_array_run(first);
        bytes = (size_t)run_elements(m, first, n, &times) * aether_element(m->dtype);
        place(m, first, n, (uint32_t)bytes, base);
        base += bytes * times;
    }
}

static void read_section(cursor *c, uint32_t id, aether_model *m, aether_config *config) {
    c->section = SECTIONS[id].name;
    read_values(c, id, m);
    read_arrays(c, id, m);
    if (c->status == AETHER_OK && SECTIONS[id].rule != NULL) {
        SECTIONS[id].rule(c, m, config);
    }
    if (c->status == AETHER_OK && c->at != c->end) {
        reject(c, c->section, "a section as long as its fields", c->end - c->at, c->at);
    }
}

aether_status aether_sections_read(aether_model *m, uint32_t begin, uint32_t end, aether_config *config,
                                    aether_detail *detail) {
    const unsigned char *blob = m->blob;
    uint32_t previous = 0, at = begin;
    while (at < end) {
        cursor c = {blob, at, end, "section", detail, AETHER_OK};
        uint32_t id, length, padded;
        if (end - at < 8) {
            return aether_fail(detail, AETHER_E_BLOB_HEADER, "section", "8 bytes of section header", end - at, at);
        }
        id = aether_get_u16(blob + at);
        length = aether_get_u32(blob + at + 4);
        if (id == 0 || id >= AETHER_SECTION_COUNT) {
            return aether_fail(detail, AETHER_E_BLOB_HEADER, "section.id", "a section of this version", id, at);
        }
        if (id <= previous) {
            return aether_fail(detail, AETHER_E_BLOB_HEADER, "section.id", "ascending, each once", id, at);
        }
        if (aether_get_u16(blob + at + 2) != 0) {
            return aether_fail(detail, AETHER_E_BLOB_HEADER, "section.reserved", "0", aether_get_u16(blob + at + 2),
                               (size_t)at + 2);
        }
        if (length > end - at - 8) {
            return aether_fail(detail, AETHER_E_BLOB_HEADER, "section.length", "at most what is left", length,
                               (size_t)at + 4);
        }
        c.at = at + 8;
        c.end = c.at + length;
        read_section(&c, id, m, config);
        if (c.status != AETHER_OK) {
            return c.status;
        }
        for (padded = c.end; padded % 4 != 0; padded++) { /* at most to `end`, a multiple of 4 */
            if (blob[padded] != 0) {
                return aether_fail(detail, AETHER_E_BLOB_HEADER, "section padding", "zero bytes up to a multiple of 4",
                                   blob[padded], padded);
            }
        }
        at = padded;
        previous = id;
    }
    return AETHER_OK;
}
