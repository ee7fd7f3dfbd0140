/* The extension sections of a blob (docs/spec/rvne.md). Every length is compared with what is left before it is used. */
#include "aether/resample.h"
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

static AETHER_NOINLINE void refuse(cursor *c, const char *field, const char *expected, uint64_t found, uint32_t at) {
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
        refuse(c, c->section, "a section long enough for its fields", c->end - c->at, c->at);
        return NULL;
    }
    c->at += (uint32_t)count * element;
    return p;
}

static AETHER_NOINLINE uint32_t take_u32(cursor *c) {
    const unsigned char *p = take(c, 1, 4);
    return p != NULL ? aether_get_u32(p) : 0;
}

static const void *take_matrix(cursor *c, aether_dtype dtype, uint64_t count) {
    const uint32_t at = c->at;
    const void *base = take(c, count, (uint32_t)aether_element(dtype));
    if (base != NULL) {
        const size_t bad = aether_first_not_finite(dtype, base, (size_t)count);
        if (bad < count) {
            refuse(c, c->section, "finite numbers", aether_element_bits(dtype, base, bad),
                   at + (uint32_t)(bad * aether_element(dtype)));
        }
    }
    return base;
}

static AETHER_NOINLINE uint32_t take_in(cursor *c, const char *field, const char *expected, uint32_t least, uint32_t most) {
    const uint32_t at = c->at, value = take_u32(c);
    if (value < least || value > most) {
        refuse(c, field, expected, value, at);
    }
    return value;
}

static const float *take_floats(cursor *c, uint64_t count) {
    return take_matrix(c, AETHER_BINARY32, count);
}

/* A count that only the section's length limits. */
#define ANY_COUNT 0x7FFFFFFFu

static void read_pattern(cursor *c, aether_config *config) {
    uint32_t switches;
    config->window = take_u32(c);
    if (config->window == UINT32_MAX) {
        config->window = AETHER_UNLIMITED;
    }
    config->block_size = take_in(c, "pattern.block_size", "at least 1", 1, UINT32_MAX);
    config->history = take_u32(c);
    switches = take_in(c, "pattern.switches", "bits 0 and 1 only", 0, 3);
    config->use_log_stride = (uint8_t)(switches & 1u);
    config->use_landmarks = (uint8_t)(switches >> 1);
    config->n_globals = take_u32(c);
    config->globals = (const uint32_t *)(const void *)take(c, config->n_globals, 4);
}

static void read_subcarriers(cursor *c, aether_model *m) {
    uint32_t f, at;
    m->n_pairs = take_in(c, "subcarriers.n_pairs", "1 to 65535", 1, UINT16_MAX);
    at = c->at;
    m->subcarriers = (const uint16_t *)(const void *)take(c, m->header.input_dim, 2);
    for (f = 0; c->status == AETHER_OK && f < m->header.input_dim; f++) {
        if (m->subcarriers[f] >= m->n_pairs) {
            refuse(c, "subcarriers.index", "less than n_pairs", m->subcarriers[f], at + 2 * f);
        }
    }
}

/* By its bits: a caller's denormals-are-zero does not count here. */
static int positive(float x) {
    return aether_bits(x) != 0 && aether_bits(x) < 0x80000000u;
}

static void read_norm(cursor *c, aether_model *m) {
    const uint32_t at = c->at;
    const float *eps = take_floats(c, 1);
    m->norm = take_floats(c, ((uint64_t)m->header.n_layers + 1) * m->width);
    if (eps != NULL) {
        m->eps = *eps;
        if (!positive(m->eps)) {
            refuse(c, "norm.eps", "more than 0", aether_get_u32(c->blob + at), at);
        }
    }
}

static void read_feed_forward(cursor *c, aether_model *m) {
    const uint64_t layers = m->header.n_layers;
    m->hidden = take_in(c, "feed_forward.hidden", "at least 1", 1, ANY_COUNT);
    m->ffn_vectors = take_floats(c, layers * (2 * m->width + m->hidden));
    if (c->status == AETHER_OK) { /* vectors that fit bound hidden, so that this cannot wrap */
        m->ffn_matrices = take_matrix(c, m->dtype, layers * 2 * m->width * m->hidden);
    }
    if (m->norm == NULL) {
        refuse(c, "feed_forward", "a norm section before it", 0, c->at);
    }
}

static void read_pooling(cursor *c, aether_model *m) {
    m->pool_kind = take_in(c, "pooling.kind", "0 or 1", 0, 1);
    m->pool_frames = take_in(c, "pooling.n", "1 for newest, 1 to 65535 for mean", 1, m->pool_kind == 0 ? 1 : UINT16_MAX);
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

static const char *take_text(cursor *c, size_t *bytes) {
    const uint32_t at = c->at;
    const unsigned char *p = take(c, c->end - c->at, 1);
    *bytes = c->at - at;
    if (p != NULL && !is_utf8(p, *bytes)) {
        refuse(c, c->section, "UTF-8", 0, at);
    }
    return (const char *)p;
}

static void read_class_names(cursor *c, aether_model *m) {
    const uint32_t at = c->at;
    uint32_t names = 0, i;
    m->class_names = take_text(c, &m->class_names_bytes);
    for (i = 0; c->status == AETHER_OK && i < m->class_names_bytes; i++) {
        names += m->class_names[i] == '\0';
    }
    if (names != m->header.n_classes || m->class_names_bytes == 0 || m->class_names[m->class_names_bytes - 1] != '\0') {
        refuse(c, "class_names", "n_classes strings, each ended by a zero byte", names, at);
    }
}

static void read_frame_rate(cursor *c, aether_model *m) {
    const uint32_t at = c->at;
    const float *rate = take_floats(c, 1);
    if (rate != NULL) {
        m->frame_rate = *rate;
        if (!positive(m->frame_rate)) {
            refuse(c, "frame_rate", "more than 0", aether_get_u32(c->blob + at), at);
        }
    }
}

static void read_stem(cursor *c, aether_model *m) {
    m->stem_taps = take_in(c, "stem.taps", "1 to 64", 1, 64);
    m->stem_activation = take_in(c, "stem.activation", "0 or 1", 0, 1);
    m->stem = take_floats(c, ((uint64_t)m->stem_taps + 1) * m->width);
}

static void read_timing(cursor *c, aether_model *m) {
    uint32_t most;
    m->delay = take_in(c, "timing.delay", "at most 65535", 0, UINT16_MAX);
    m->resample_period = take_in(c, "timing.period", "0, or 1 to 16777216", 0, AETHER_RESAMPLE_MAX_GAP);
    most = m->resample_period < AETHER_RESAMPLE_MAX_GAP / AETHER_RESAMPLE_MAX_DUE
               ? m->resample_period * AETHER_RESAMPLE_MAX_DUE
               : AETHER_RESAMPLE_MAX_GAP;
    m->resample_max_gap = m->resample_period == 0
                              ? take_in(c, "timing.max_gap", "0 without a period", 0, 0)
                              : take_in(c, "timing.max_gap", "period to 4096 periods, at most 16777216", m->resample_period, most);
}

#define LAST_SECTION 16u

static const char *const SECTIONS[LAST_SECTION + 1] = {
    NULL,          "pattern", "subcarriers",     "gain",    "normalisation", "input_projection", "norm",       "convolution",
    "bias",        "feed_forward", "pooling", "embedding", "class_names", "frame_rate",       "provenance", "stem",
    "timing",
};

static void read_section(cursor *c, uint32_t id, aether_model *m, aether_config *config) {
    const uint64_t w = m->width, layers = m->header.n_layers;
    c->section = SECTIONS[id];
    switch (id) {
    case 1:
        read_pattern(c, config);
        break;
    case 2:
        read_subcarriers(c, m);
        break;
    case 3:
        m->gain = take_in(c, "gain.kind", "0 or 1", 0, 1);
        break;
    case 4:
        m->input_mean = take_floats(c, m->header.input_dim);
        m->input_scale = take_floats(c, m->header.input_dim);
        break;
    case 5:
        m->project_bias = take_floats(c, w);
        m->project = take_matrix(c, m->dtype, m->header.input_dim * w);
        break;
    case 6:
        read_norm(c, m);
        break;
    case 7:
        m->taps = take_in(c, "convolution.taps", "1 to 64", 1, 64);
        m->conv = take_floats(c, layers * (m->taps + 1) * w);
        break;
    case 8:
        m->bias = take_floats(c, layers * (aether_q_width(m) + 2 * (uint64_t)aether_kv_width(m) + w) + m->header.n_classes);
        break;
    case 9:
        read_feed_forward(c, m);
        break;
    case 10:
        read_pooling(c, m);
        break;
    case 11:
        m->embed_dim = take_in(c, "embedding.dim", "at least 1", 1, ANY_COUNT);
        m->embed_bias = take_floats(c, m->embed_dim);
        m->embed = take_matrix(c, m->dtype, w * m->embed_dim);
        break;
    case 12:
        read_class_names(c, m);
        break;
    case 13:
        read_frame_rate(c, m);
        break;
    case 14:
        m->provenance = take_text(c, &m->provenance_bytes);
        break;
    case 15:
        read_stem(c, m);
        break;
    default:
        read_timing(c, m);
        break;
    }
    if (c->status == AETHER_OK && c->at != c->end) {
        refuse(c, c->section, "a section as long as its fields", c->end - c->at, c->at);
    }
}

aether_status aether_extension_read(aether_model *m, uint32_t begin, uint32_t end, aether_config *config,
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
        if (id == 0 || id > LAST_SECTION) {
            return aether_fail(detail, AETHER_E_BLOB_HEADER, "section.id", "1 to 16", id, at);
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
        for (padded = c.end; padded % 4 != 0; padded++) {
            if (padded >= end || blob[padded] != 0) {
                return aether_fail(detail, AETHER_E_BLOB_HEADER, "section padding", "zero bytes up to a multiple of 4",
                                   padded < end ? blob[padded] : 0, padded);
            }
        }
        at = padded;
        previous = id;
    }
    return AETHER_OK;
}
