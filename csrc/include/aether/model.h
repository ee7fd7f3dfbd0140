/* The model in a blob (docs/spec/model.md), used in place: the blob must stay where it is, unchanged, while the model lives. */
#ifndef AETHER_MODEL_H
#define AETHER_MODEL_H

#include "attention.h"
#include "rvne.h"
#include "sections.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Limits of the grid that a model may ask for (resample.h). The longest gap that may be bridged: microseconds up to here are exact in
   binary32. The most periods in that gap: a single packet would make that many frames due at once. */
#define AETHER_RESAMPLE_MAX_GAP 16777216u
#define AETHER_RESAMPLE_MAX_DUE 256u

/* What a model says about itself; 0 or NULL where its section is absent. Read only. */
typedef struct aether_model {
    const unsigned char *blob;
    size_t blob_bytes;
    aether_rvne_header header;
    aether_head head;
    aether_dtype dtype; /* of matrices; AETHER_INT8: a model in integers */
    uint32_t width;
    uint32_t embed_dim;
    uint32_t n_pairs;            /* I/Q pairs of a raw frame */
    const uint16_t *subcarriers; /* [input_dim], each below n_pairs */
    const int16_t *numbers;      /* [input_dim]: the subcarriers by number, each of the band in `bands` (subcarriers.h) */
    const uint8_t *bands;
    uint32_t agc;                /* 1: frames are divided by their mean */
    const char *class_names;     /* n_classes zero-terminated strings, one after the other */
    size_t class_names_bytes;
    float frame_rate;         /* frames a second */
    uint32_t label_delay;     /* frames: the prediction after frame t is for frame t - label_delay */
    uint32_t resample_period; /* microseconds of the grid that frames are to be put on; 0: as they come */
    uint32_t resample_max_gap;
    float temperature;      /* 0: not calibrated; else softmax of the logits is how often a class is correct. The logits are divided by
                               it already */
    const char *provenance; /* provenance_bytes bytes, no terminator */
    size_t provenance_bytes;
    /* Private: do not read or write. */
    const void *arrays[AETHER_ARRAY_COUNT]; /* the first of each in the blob */
    uint32_t strides[AETHER_ARRAY_COUNT];   /* bytes from the array of one layer to that of the next */
    float eps;
    float input_unit, logit_unit; /* of a model in integers */
    uint32_t taps, hidden, stem_taps, stem_activation; /* taps, stem_taps 0: no convolution, no stem */
    uint32_t pool_kind, pool_frames;
} aether_model;

/* Parses `blob` (4-byte aligned) and checks everything, weights included. kernels NULL: the fastest usable. The codes of
   aether_rvne_parse, AETHER_E_BLOB_HEADER for sections and weights, AETHER_E_ALIGNMENT. */
aether_status aether_model_open(aether_model *model, const void *blob, size_t bytes, const aether_kernels *kernels,
                                aether_detail *detail);

/* The arrays of a model in blob order, for inspection and export: index 0, 1, ...; AETHER_E_ARGUMENT past the end.
   `layer` is UINT32_MAX for arrays outside the layers; dims[1] is 0 for vectors. */
typedef struct aether_array {
    const char *name; /* as in docs/spec/model.md: "attention.wq", "classifier.weight", ... */
    uint32_t layer;
    aether_dtype dtype;
    size_t offset; /* bytes from the start of the blob */
    uint32_t dims[2];
} aether_array;
aether_status aether_model_array(const aether_model *model, size_t index, aether_array *array);

/* Everywhere below, `dtype` says how a stream keeps keys and values: AETHER_BINARY32 or AETHER_BINARY16. A model in integers keeps bytes,
   whatever it says. */

/* What a stream of this model needs. multiply_adds: of one pushed frame whose query sees as much as a query can in this context,
   logits and embedding included. AETHER_E_CONFIG (context 0), AETHER_E_TOO_LARGE. */
typedef struct aether_memory {
    size_t flash;          /* blob bytes */
    size_t state;          /* what lives between frames: caches, convolution and pooling rows, the newest output */
    size_t scratch;        /* what a push needs while it runs */
    size_t cache_rows;     /* token rows kept a layer */
    uint64_t multiply_adds;
} aether_memory;
aether_status aether_model_memory(const aether_model *model, uint64_t context, aether_dtype dtype, aether_memory *memory);

/* The same for a machine whose pointers have pointer_bytes bytes, 4 or 8, so that a computer can compute the memory of a chip. */
aether_status aether_model_memory_on(const aether_model *model, uint64_t context, aether_dtype dtype,
                                     size_t pointer_bytes, aether_memory *memory);

/* Workspace of aether_model_forward, 8-byte aligned. context 0: unlimited. AETHER_E_TOO_LARGE. */
aether_status aether_model_workspace(const aether_model *model, size_t tokens, uint64_t context, aether_dtype dtype,
                                     size_t *bytes);

/* frames [tokens][input_dim] -> logits [tokens][n_classes] and, when not NULL, embeddings [tokens][embed_dim]: row t is what a
   stream of this context and dtype gives after frame t, bit for bit. AETHER_E_NOT_FINITE (nothing written),
   AETHER_E_OVERFLOW (outputs have no meaning), AETHER_E_SHAPE (embeddings asked of a model without), AETHER_E_MEMORY. */
aether_status aether_model_forward(const aether_model *model, const float *frames, size_t tokens, uint64_t context,
                                   aether_dtype dtype, float *logits, float *embeddings, void *workspace, size_t bytes);

/* AETHER_E_CONFIG for a model in integers. Otherwise the same, and after the attention of each layer, in order, a call of `trace` with what went in and came out:
   q and out [tokens][q_heads][head_dim], k and v [tokens][kv_heads][head_dim], in the workspace until the call returns.
   k and v are unrounded: the attention of a binary16 dtype rounds them itself. The call runs in the core's floating-point
   environment. */
typedef void (*aether_trace)(void *user, size_t layer, const float *q, const float *k, const float *v, const float *out);
aether_status aether_model_trace(const aether_model *model, const float *frames, size_t tokens, uint64_t context,
                                 aether_dtype dtype, float *logits, float *embeddings, aether_trace trace, void *user,
                                 void *workspace, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
