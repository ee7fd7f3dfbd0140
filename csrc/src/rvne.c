#include "aether/rvne.h"

#include "aether/crc32.h"
#include "bits.h"

aether_status aether_rvne_check(const aether_rvne_header *header, aether_detail *detail) {
    const aether_status bad = AETHER_E_BLOB_HEADER;
    uint32_t element;
    if (header == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, "header", "not NULL", 0, SIZE_MAX);
    }
    element = (header->flags & AETHER_RVNE_FLAG_INT8) != 0 ? 1 : (header->flags & AETHER_RVNE_FLAG_BINARY16) != 0 ? 2 : 4;
    if (header->flags > (AETHER_RVNE_FLAG_INT8 | AETHER_RVNE_FLAG_EXTENSION)) {
        return aether_fail(detail, AETHER_E_BLOB_FLAGS, "flags", "bits 0 and 1, or bits 1 and 2 only", header->flags, 6);
    }
    if ((header->flags & AETHER_RVNE_FLAG_INT8) != 0 && header->flags != (AETHER_RVNE_FLAG_INT8 | AETHER_RVNE_FLAG_EXTENSION)) {
        return aether_fail(detail, AETHER_E_BLOB_FLAGS, "flags", "bit 2 with bit 1 and without bit 0", header->flags, 6);
    }
    if (header->input_dim == 0) {
        return aether_fail(detail, bad, "input_dim", "at least 1", 0, 8);
    }
    if (header->n_q_heads == 0) {
        return aether_fail(detail, bad, "n_q_heads", "at least 1", 0, 10);
    }
    if (header->n_kv_heads == 0 || header->n_q_heads % header->n_kv_heads != 0) {
        return aether_fail(detail, bad, "n_kv_heads", "a divisor of n_q_heads", header->n_kv_heads, 12);
    }
    if (header->head_dim == 0) {
        return aether_fail(detail, bad, "head_dim", "at least 1", 0, 14);
    }
    if (header->n_layers == 0) {
        return aether_fail(detail, bad, "n_layers", "at least 1", 0, 16);
    }
    if (header->n_classes < 2) {
        return aether_fail(detail, bad, "n_classes", "at least 2", header->n_classes, 18);
    }
    if (header->weights_len % element != 0) {
        return aether_fail(detail, bad, "weights_len", "a multiple of the element size", header->weights_len, 20);
    }
    return AETHER_OK;
}

aether_status aether_rvne_parse(const void *blob, size_t bytes, aether_rvne_header *header, aether_detail *detail) {
    const unsigned char *p = blob;
    aether_rvne_header own;
    aether_status status;
    uint32_t crc;
    if (blob == NULL || header == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, blob == NULL ? "blob" : "header", "not NULL", 0, SIZE_MAX);
    }
    if (bytes < AETHER_RVNE_OVERHEAD) {
        return aether_fail(detail, AETHER_E_BLOB_SHORT, "length", "at least 28 bytes", bytes, SIZE_MAX);
    }
    if (aether_get_u32(p) != AETHER_RVNE_MAGIC) {
        return aether_fail(detail, AETHER_E_BLOB_MAGIC, "magic", "0x52564E45", aether_get_u32(p), 0);
    }
    if (aether_get_u16(p + 4) != AETHER_RVNE_VERSION) {
        return aether_fail(detail, AETHER_E_BLOB_VERSION, "version", "1", aether_get_u16(p + 4), 4);
    }
    own.weights_len = aether_get_u32(p + 20);
    if (own.weights_len != bytes - AETHER_RVNE_OVERHEAD) {
        return aether_fail(detail, AETHER_E_BLOB_LENGTH, "weights_len", "the length of the blob less 28",
                           own.weights_len, 20);
    }
    crc = aether_get_u32(p + bytes - 4);
    if (aether_crc32(0, p, bytes - 4) != crc) {
        return aether_fail(detail, AETHER_E_BLOB_CRC, "crc32", "the CRC of the bytes before", crc, bytes - 4);
    }
    own.flags = p[6];
    own.input_dim = aether_get_u16(p + 8);
    own.n_q_heads = aether_get_u16(p + 10);
    own.n_kv_heads = aether_get_u16(p + 12);
    own.head_dim = aether_get_u16(p + 14);
    own.n_layers = aether_get_u16(p + 16);
    own.n_classes = aether_get_u16(p + 18);
    status = aether_rvne_check(&own, detail);
    if (status == AETHER_OK && p[7] != 0) {
        status = aether_fail(detail, AETHER_E_BLOB_HEADER, "reserved", "0", p[7], 7);
    }
    if (status == AETHER_OK) {
        *header = own;
    }
    return status;
}

uint64_t aether_rvne_size(const aether_rvne_header *header) {
    return (uint64_t)header->weights_len + AETHER_RVNE_OVERHEAD;
}

aether_status aether_rvne_write(const aether_rvne_header *header, const void *weights, void *out, size_t bytes,
                                aether_detail *detail) {
    unsigned char *p = out;
    aether_status status;
    size_t total;
    if (header == NULL || out == NULL || (weights == NULL && header->weights_len > 0)) {
        return aether_fail(detail, AETHER_E_ARGUMENT, header == NULL ? "header" : out == NULL ? "out" : "weights",
                           "not NULL", 0, SIZE_MAX);
    }
    status = aether_rvne_check(header, detail);
    if (status != AETHER_OK) {
        return status;
    }
    if (aether_rvne_size(header) > bytes) {
        return aether_fail(detail, AETHER_E_MEMORY, "bytes", "28 + weights_len", bytes, SIZE_MAX);
    }
    total = (size_t)aether_rvne_size(header);
    if (weights != p + AETHER_RVNE_HEADER_BYTES && header->weights_len > 0) {
        memcpy(p + AETHER_RVNE_HEADER_BYTES, weights, header->weights_len);
    }
    aether_put_u32(p, AETHER_RVNE_MAGIC);
    aether_put_u16(p + 4, AETHER_RVNE_VERSION);
    p[6] = header->flags;
    p[7] = 0;
    aether_put_u16(p + 8, header->input_dim);
    aether_put_u16(p + 10, header->n_q_heads);
    aether_put_u16(p + 12, header->n_kv_heads);
    aether_put_u16(p + 14, header->head_dim);
    aether_put_u16(p + 16, header->n_layers);
    aether_put_u16(p + 18, header->n_classes);
    aether_put_u32(p + 20, header->weights_len);
    aether_put_u32(p + total - 4, aether_crc32(0, p, total - 4));
    return AETHER_OK;
}
