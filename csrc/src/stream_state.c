/* docs/spec/state.md, stream. */
#include "aether/crc32.h"
#include "bits.h"
#include "cache_layout.h"
#include "int8_stream.h"
#include "stream_layout.h"

#define MAGIC 0x54534541u
#define VERSION 1u
#define HEADER 40u

/* Bytes of stem, convolution and pooling rows and the newest output: one run in memory and payload alike. */
static size_t rows_bytes(const aether_stream_layout *at) {
    return at->state - at->stem;
}

static size_t payload_bytes(const aether_stream *s, const aether_stream_layout *at) {
    return s->model->header.n_layers * at->cache_payload + rows_bytes(at);
}

static uint32_t blob_crc(const aether_model *m) {
    return aether_get_u32(m->blob + m->blob_bytes - 4);
}

/* Bytes of a number in such a row. */
static size_t element(const aether_stream *s) {
    return aether_in_integers(s->model) ? sizeof(int16_t) : sizeof(float);
}

/* Row `length % ring` of rows [ring][width] is what the next frame overwrites. */
static void clear_next(const aether_stream *s, unsigned char *rows, size_t ring) {
    const size_t row = s->model->width * element(s);
    if (ring > 0) {
        memset(rows + (size_t)(s->length % ring) * row, 0, row);
    }
}

size_t aether_stream_saved_size(const aether_stream *stream) {
    const aether_stream_layout at = stream->at;
    return HEADER + payload_bytes(stream, &at) + 4;
}

aether_status aether_stream_save(const aether_stream *stream, void *bytes, size_t size) {
    unsigned char *p = bytes, *rows;
    aether_stream_layout at;
    const aether_model *m;
    size_t total, l;
    if (stream == NULL || bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    m = stream->model;
    at = stream->at;
    total = HEADER + payload_bytes(stream, &at) + 4;
    if (size < total) {
        return AETHER_E_MEMORY;
    }
    aether_put_u32(p, MAGIC);
    aether_put_u16(p + 4, VERSION);
    aether_put_u16(p + 6, (uint16_t)stream->dtype);
    aether_put_u32(p + 8, blob_crc(m));
    aether_put_u32(p + 12, m->header.n_layers);
    aether_put_u64(p + 16, stream->context);
    aether_put_u64(p + 24, stream->length);
    aether_put_u64(p + 32, total - HEADER - 4);
    rows = p + HEADER;
    for (l = 0; l < m->header.n_layers; l++) {
        const aether_cache cache = aether_stream_cache(stream, l);
        aether_cache_payload_save(&cache, rows);
        rows += at.cache_payload;
    }
    memcpy(rows, stream->memory + at.stem, rows_bytes(&at));
    clear_next(stream, rows, m->stem_taps);
    for (l = 0; l < m->header.n_layers; l++) {
        clear_next(stream, rows + (at.conv - at.stem) + l * m->taps * m->width * element(stream), m->taps);
    }
    clear_next(stream, rows + (at.pool - at.stem), m->pool_kind == 1 ? m->pool_frames : 0);
    aether_put_u32(p + total - 4, aether_crc32(0, p, total - 4));
    return AETHER_OK;
}

/* All checks; nothing is changed. */
static aether_status sound(const aether_stream *s, const aether_stream_layout *at, const unsigned char *p, size_t size,
                           aether_detail *detail) {
    const aether_model *m = s->model;
    const unsigned char *rows = p + HEADER;
    size_t l;
    if (size < HEADER + 4) {
        return aether_fail(detail, AETHER_E_STATE, "length", "at least 44 bytes", size, SIZE_MAX);
    }
    if (aether_get_u32(p) != MAGIC) {
        return aether_fail(detail, AETHER_E_STATE, "magic", "0x54534541", aether_get_u32(p), 0);
    }
    if (aether_get_u16(p + 4) != VERSION) {
        return aether_fail(detail, AETHER_E_STATE, "version", "1", aether_get_u16(p + 4), 4);
    }
    if (aether_get_u64(p + 32) != size - HEADER - 4) {
        return aether_fail(detail, AETHER_E_STATE, "payload_len", "the length less 44", aether_get_u64(p + 32), 32);
    }
    if (aether_get_u32(p + size - 4) != aether_crc32(0, p, size - 4)) {
        return aether_fail(detail, AETHER_E_STATE, "crc32", "the CRC of the bytes before", aether_get_u32(p + size - 4),
                           size - 4);
    }
    if (aether_get_u32(p + 8) != blob_crc(m)) {
        return aether_fail(detail, AETHER_E_CACHE_MISMATCH, "blob CRC", "that of this model's blob",
                           aether_get_u32(p + 8), 8);
    }
    if (aether_get_u16(p + 6) != (uint16_t)s->dtype) {
        return aether_fail(detail, AETHER_E_CACHE_MISMATCH, "flags", "the dtype of this stream", aether_get_u16(p + 6), 6);
    }
    if (aether_get_u64(p + 16) != s->context) {
        return aether_fail(detail, AETHER_E_CACHE_MISMATCH, "context", "that of this stream", aether_get_u64(p + 16), 16);
    }
    if (aether_get_u32(p + 12) != m->header.n_layers || size - HEADER - 4 != payload_bytes(s, at)) {
        return aether_fail(detail, AETHER_E_STATE, "payload_len", "the bytes of a stream of this shape",
                           size - HEADER - 4, 32);
    }
    if (aether_get_u64(p + 24) >= AETHER_LENGTH_MAX) {
        return aether_fail(detail, AETHER_E_STATE, "length", "less than 2^62", aether_get_u64(p + 24), 24);
    }
    if (aether_in_integers(s->model)) {
        return aether_int8_sound(s, rows) ? AETHER_OK : aether_fail(detail, AETHER_E_STATE, "payload", "numbers in their ranges", 0, HEADER);
    }
    for (l = 0; l < m->header.n_layers; l++) {
        const aether_cache cache = aether_stream_cache(s, l);
        if (!aether_cache_payload_sound(&cache, rows)) {
            return aether_fail(detail, AETHER_E_STATE, "payload", "finite numbers", 0, (size_t)(rows - p));
        }
        rows += at->cache_payload;
    }
    if (!aether_payload_finite(rows, rows_bytes(at))) {
        return aether_fail(detail, AETHER_E_STATE, "payload", "finite numbers", 0, (size_t)(rows - p));
    }
    return AETHER_OK;
}

aether_status aether_stream_load(aether_stream *stream, const void *bytes, size_t size, aether_detail *detail) {
    const unsigned char *p = bytes;
    aether_stream_layout at;
    aether_status status;
    uint64_t length;
    size_t l;
    if (stream == NULL || bytes == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, stream == NULL ? "stream" : "bytes", "not NULL", 0, SIZE_MAX);
    }
    at = stream->at;
    status = sound(stream, &at, p, size, detail);
    if (status != AETHER_OK) {
        return status;
    }
    length = aether_get_u64(p + 24);
    p += HEADER;
    for (l = 0; l < stream->model->header.n_layers; l++) {
        aether_cache cache = aether_stream_cache(stream, l);
        aether_cache_payload_load(&cache, p, length);
        p += at.cache_payload;
    }
    memcpy(stream->memory + at.stem, p, rows_bytes(&at));
    stream->length = length;
    if (aether_in_integers(stream->model)) {
        aether_int8_restore(stream);
    }
    return AETHER_OK;
}
