/* RVNE weight blob, version 1 (docs/spec/rvne.md): header, reader in place, writer. Any alignment. */
#ifndef AETHER_RVNE_H
#define AETHER_RVNE_H

#include "numeric.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AETHER_RVNE_MAGIC 0x52564E45u
#define AETHER_RVNE_VERSION 1u
#define AETHER_RVNE_HEADER_BYTES 24u
#define AETHER_RVNE_OVERHEAD 28u
#define AETHER_RVNE_FLAG_BINARY16 0x01u
#define AETHER_RVNE_FLAG_EXTENSION 0x02u
#define AETHER_RVNE_FLAG_INT8 0x04u /* a model in integers; stands with the extension, and without binary16 */

typedef struct aether_rvne_header {
    uint8_t flags;
    uint16_t input_dim, n_q_heads, n_kv_heads, head_dim, n_layers, n_classes;
    uint32_t weights_len;
} aether_rvne_header;

/* Header values alone (flags, ranges, divisibility). AETHER_E_BLOB_FLAGS, AETHER_E_BLOB_HEADER. */
aether_status aether_rvne_check(const aether_rvne_header *header, aether_detail *detail);

/* Reads a blob: length 28, magic, version, length, CRC, header values, in this order, each with its own code. Nothing is
   copied; the weights begin at blob + 24. Does not look at the weights (aether_model_open does). */
aether_status aether_rvne_parse(const void *blob, size_t bytes, aether_rvne_header *header, aether_detail *detail);

/* Bytes of a blob with this header (28 + weights_len). */
uint64_t aether_rvne_size(const aether_rvne_header *header);

/* Writes header, weights (header->weights_len bytes) and CRC into out. AETHER_E_MEMORY when `bytes` is too small, and the codes
   of aether_rvne_check. out may not overlap weights, unless weights == out + 24. */
aether_status aether_rvne_write(const aether_rvne_header *header, const void *weights, void *out, size_t bytes,
                                aether_detail *detail);

#ifdef __cplusplus
}
#endif
#endif
