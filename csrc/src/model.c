/* Opens a model on a blob: header, footer, sections, weights. Nothing is copied. */
#include "bits.h"
#include "int8.h"
#include "model_layout.h"
#include "sizes.h"

#define FOOTER 12u
#define FOOTER_MAGIC 0x31545845u

/* Core arrays in bytes; UINT64_MAX when they are beyond what a blob can hold. */
static uint64_t core_bytes(const aether_model *m) {
    const uint64_t elements = aether_core_elements(m);
    return elements != UINT64_MAX ? elements * aether_element(m->dtype) : elements;
}

static aether_status read_extension(aether_model *m, aether_config *config, aether_detail *detail) {
    const uint32_t len = m->header.weights_len;
    const uint32_t footer = AETHER_RVNE_HEADER_BYTES + len - FOOTER;
    const unsigned char *p = m->blob + footer;
    const aether_status bad = AETHER_E_BLOB_HEADER;
    uint64_t core;
    uint32_t begin;
    if (len < FOOTER) {
        return aether_fail(detail, bad, "weights_len", "at least the 12 bytes of the extension's footer", len, 20);
    }
    if (aether_get_u32(p + 8) != FOOTER_MAGIC) {
        return aether_fail(detail, bad, "extension magic", "0x31545845", aether_get_u32(p + 8), (size_t)footer + 8);
    }
    if (aether_get_u16(p + 6) != 1) {
        return aether_fail(detail, bad, "extension version", "1", aether_get_u16(p + 6), (size_t)footer + 6);
    }
    m->width = aether_get_u16(p + 4);
    if (m->width == 0) {
        return aether_fail(detail, bad, "width", "at least 1", 0, (size_t)footer + 4);
    }
    core = core_bytes(m);
    if (aether_get_u32(p) > len || core != len - aether_get_u32(p)) {
        return aether_fail(detail, bad, "extension_len", "weights_len less the core arrays", aether_get_u32(p), footer);
    }
    for (begin = AETHER_RVNE_HEADER_BYTES + (uint32_t)core; begin % 4 != 0; begin++) {
        if (begin >= footer || m->blob[begin] != 0) {
            return aether_fail(detail, bad, "padding", "zero bytes up to a multiple of 4",
                               begin < footer ? m->blob[begin] : 0, begin);
        }
    }
    if (footer % 4 != 0 || begin > footer) {
        return aether_fail(detail, bad, "weights_len", "sections padded to a multiple of 4", len, 20);
    }
    return aether_sections_read(m, begin, footer, config, detail);
}

static aether_status open_here(aether_model *m, aether_config *config, const aether_kernels *kernels,
                               aether_detail *detail) {
    aether_status status = AETHER_OK;
    size_t n, bad;
    m->dtype = (m->header.flags & AETHER_RVNE_FLAG_INT8) != 0       ? AETHER_INT8
               : (m->header.flags & AETHER_RVNE_FLAG_BINARY16) != 0 ? AETHER_BINARY16
                                                                    : AETHER_BINARY32;
    m->width = m->header.input_dim;
    m->pool_frames = 1;
    if ((m->header.flags & AETHER_RVNE_FLAG_EXTENSION) != 0) {
        status = read_extension(m, config, detail);
    } else if (core_bytes(m) != m->header.weights_len) {
        status = aether_fail(detail, AETHER_E_BLOB_HEADER, "weights_len", "the bytes of the arrays of this shape",
                             m->header.weights_len, 20);
    }
    if (status != AETHER_OK) {
        return status;
    }
    if (m->width != m->header.input_dim && m->arrays[AETHER_PROJECTION_WEIGHT] == NULL) {
        return aether_fail(detail, AETHER_E_BLOB_HEADER, "width", "input_dim, or an input projection", m->width, SIZE_MAX);
    }
    aether_core_place(m);
    n = (size_t)aether_core_elements(m);
    bad = aether_first_not_finite(m->dtype, m->arrays[AETHER_ATTENTION_WQ], n);
    if (bad < n) {
        return aether_fail(detail, AETHER_E_BLOB_HEADER, "weights", "finite numbers",
                           aether_element_bits(m->dtype, m->arrays[AETHER_ATTENTION_WQ], bad),
                           AETHER_RVNE_HEADER_BYTES + bad * aether_element(m->dtype));
    }
    config->q_heads = m->header.n_q_heads;
    config->kv_heads = m->header.n_kv_heads;
    config->head_dim = m->header.head_dim;
    status = aether_head_init(&m->head, config, kernels, detail);
    if (status == AETHER_OK && m->dtype == AETHER_INT8) {
        status = aether_in_integers(m) ? aether_int8_check(m, detail)
                                       : aether_fail(detail, AETHER_E_BLOB_HEADER, "flags", "no bit 2: this build has no models in integers",
                                                     m->header.flags, 6);
    }
    return status == AETHER_OK ? AETHER_OK : AETHER_E_BLOB_HEADER;
}

aether_status aether_model_open(aether_model *model, const void *blob, size_t bytes, const aether_kernels *kernels,
                                aether_detail *detail) {
    aether_rvne_header header;
    aether_config config;
    aether_model own;
    aether_status status;
    if (model == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, "model", "not NULL", 0, SIZE_MAX);
    }
    status = aether_rvne_parse(blob, bytes, &header, detail);
    if (status != AETHER_OK) {
        return status;
    }
    if (!aether_aligned(blob, 4)) {
        return aether_fail(detail, AETHER_E_ALIGNMENT, "blob", "an address that is a multiple of 4",
                           (uint64_t)(uintptr_t)blob, SIZE_MAX);
    }
    memset(&own, 0, sizeof own);
    aether_config_default(&config);
    own.blob = blob;
    own.blob_bytes = bytes;
    own.header = header;
    status = open_here(&own, &config, kernels, detail);
    if (status == AETHER_OK) {
        *model = own;
    }
    return status;
}
