/* Any bytes as a weight blob: parse, open, and when it opens, use it. A stream in one kernel variant must give the bits of
   forward in another; nothing may be read past the end of blob, stream or workspace. */
#include "fuzz.h"

#define FRAMES 9

static void walk_arrays(const aether_model *model) {
    aether_array array;
    size_t end = AETHER_RVNE_HEADER_BYTES;
    for (size_t i = 0; aether_model_array(model, i, &array) == AETHER_OK; i++) {
        const uint64_t element = array.dtype == AETHER_BINARY16 ? 2 : 4;
        const uint64_t bytes = element * array.dims[0] * (array.dims[1] != 0 ? array.dims[1] : 1);
        FUZZ_CHECK(array.name != NULL && array.dims[0] != 0);
        FUZZ_CHECK(array.offset >= AETHER_RVNE_HEADER_BYTES && array.offset + bytes + 4 <= model->blob_bytes);
        end = array.offset;
    }
    FUZZ_CHECK(end > AETHER_RVNE_HEADER_BYTES || model->header.n_layers == 0);
}

static void check_texts(const aether_model *model) {
    size_t ends = 0;
    for (size_t i = 0; i < model->class_names_bytes; i++) {
        ends += model->class_names[i] == '\0';
    }
    FUZZ_CHECK(model->class_names == NULL || ends == model->header.n_classes);
    uint32_t sum = 0;
    for (size_t i = 0; i < model->provenance_bytes; i++) {
        sum += (unsigned char)model->provenance[i];
    }
    FUZZ_CHECK(sum <= 255u * model->provenance_bytes);
}

static aether_status run_stream(const aether_model *model, uint64_t context, aether_dtype dtype, const float *frames,
                                float *logits) {
    const size_t classes = model->header.n_classes, features = model->header.input_dim;
    aether_stream stream;
    size_t bytes = 0;
    if (aether_stream_size(model, context, dtype, &bytes) != AETHER_OK || bytes > FUZZ_MEMORY_LIMIT) {
        return AETHER_E_TOO_LARGE;
    }
    void *memory = fuzz_exact(bytes);
    aether_status status = aether_stream_init(&stream, model, context, dtype, memory, bytes);
    FUZZ_CHECK(status == AETHER_OK);
    for (size_t t = 0; t < FRAMES && status == AETHER_OK; t++) {
        status = aether_stream_push(&stream, frames + t * features);
        if (status == AETHER_OK) {
            memcpy(logits + t * classes, aether_stream_logits(&stream), classes * sizeof *logits);
        } else {
            FUZZ_CHECK(status == AETHER_E_OVERFLOW);
        }
    }
    free(memory);
    return status;
}

static aether_status run_forward(const aether_model *model, uint64_t context, aether_dtype dtype, const float *frames,
                                 float *logits) {
    size_t bytes = 0;
    if (aether_model_workspace(model, FRAMES, context, dtype, &bytes) != AETHER_OK || bytes > FUZZ_MEMORY_LIMIT) {
        return AETHER_E_TOO_LARGE;
    }
    void *workspace = fuzz_exact(bytes);
    float *embeddings = model->embed_dim != 0 ? fuzz_exact(FRAMES * model->embed_dim * sizeof *embeddings) : NULL;
    const aether_status status =
        aether_model_forward(model, frames, FRAMES, context, dtype, logits, embeddings, workspace, bytes);
    free(embeddings);
    free(workspace);
    return status;
}

static void use(const aether_model *portable, const aether_model *fastest, uint32_t seed) {
    const size_t classes = portable->header.n_classes, features = portable->header.input_dim;
    const uint64_t context = 1 + seed % 12;
    const aether_dtype dtype = seed & 0x100u ? AETHER_BINARY16 : AETHER_BINARY32;
    aether_memory memory;
    if (aether_model_memory(portable, context, dtype, &memory) != AETHER_OK) {
        return;
    }
    float *frames = fuzz_exact(FRAMES * features * sizeof *frames);
    float *a = fuzz_exact(FRAMES * classes * sizeof *a), *b = fuzz_exact(FRAMES * classes * sizeof *b);
    fuzz_values(frames, FRAMES * features, &seed, 0);
    const aether_status streamed = run_stream(portable, context, dtype, frames, a);
    const aether_status forwarded = run_forward(fastest, context, dtype, frames, b);
    if (streamed != AETHER_E_TOO_LARGE && forwarded != AETHER_E_TOO_LARGE) {
        FUZZ_CHECK(streamed == forwarded);
        FUZZ_CHECK(streamed != AETHER_OK || memcmp(a, b, FRAMES * classes * sizeof *a) == 0);
    }
    free(b);
    free(a);
    free(frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    aether_rvne_header header;
    aether_model portable, fastest;
    aether_detail detail = {0};
    uint8_t *unaligned = fuzz_exact(size + 1);
    memcpy(unaligned + 1, data, size);
    const aether_status parsed = aether_rvne_parse(unaligned + 1, size, &header, &detail);
    fuzz_named(parsed, &detail);
    free(unaligned);

    uint8_t *blob = fuzz_copy(data, size);
    const aether_status opened = aether_model_open(&portable, blob, size, aether_kernels_portable(), &detail);
    fuzz_named(opened, &detail);
    FUZZ_CHECK(opened != AETHER_OK || parsed == AETHER_OK);
    if (opened == AETHER_OK) {
        FUZZ_CHECK(aether_model_open(&fastest, blob, size, NULL, NULL) == AETHER_OK);
        walk_arrays(&portable);
        check_texts(&portable);
        use(&portable, &fastest, fuzz_u32(blob + size - 4));
    }
    FUZZ_CHECK(memcmp(blob, data, size) == 0);
    free(blob);
    return 0;
}

/* Bytes of the core arrays a header declares; 0 when they do not fit in `limit`. */
static size_t core_bytes(const uint8_t *data, uint32_t width, size_t limit) {
    const uint64_t q = (uint64_t)fuzz_u16(data + 10) * fuzz_u16(data + 14);
    const uint64_t kv = (uint64_t)fuzz_u16(data + 12) * fuzz_u16(data + 14);
    const uint64_t layer = width * (2 * q + 2 * kv);
    if (layer > limit || layer * fuzz_u16(data + 16) > limit) {
        return 0;
    }
    const uint64_t elements = layer * fuzz_u16(data + 16) + (uint64_t)width * fuzz_u16(data + 18);
    const uint64_t bytes = elements * (data[6] & AETHER_RVNE_FLAG_BINARY16 ? 2 : 4);
    return bytes <= limit ? (size_t)bytes : 0;
}

/* Random bytes never get past a length and a CRC: most inputs have these corrected, so that depth is reached. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    const size_t overhead = AETHER_RVNE_OVERHEAD + 12;
    const int extended = size >= overhead && (data[6] & AETHER_RVNE_FLAG_EXTENSION) != 0;
    const uint32_t width = extended ? fuzz_u16(data + size - 12) : 0;
    const size_t core = extended ? core_bytes(data, width, size - overhead) : 0;
    if (core != 0 && seed % 4 != 0) { /* the sections alone */
        uint8_t footer[16];
        const size_t at = AETHER_RVNE_HEADER_BYTES + core;
        memcpy(footer, data + size - 16, 16);
        const size_t sections = LLVMFuzzerMutate(data + at, size - at - 16, max_size - at - 16);
        size = at + sections + 16;
        memcpy(data + size - 16, footer, 16);
    } else {
        size = LLVMFuzzerMutate(data, size, max_size);
    }
    if (size < AETHER_RVNE_OVERHEAD || seed % 16 == 0) {
        return size;
    }
    fuzz_put(data, AETHER_RVNE_MAGIC, 4);
    fuzz_put(data + 4, AETHER_RVNE_VERSION, 2);
    fuzz_put(data + 20, (uint32_t)(size - AETHER_RVNE_OVERHEAD), 4);
    if (size >= overhead && (data[6] & AETHER_RVNE_FLAG_EXTENSION) != 0 && seed % 32 != 1) {
        const uint32_t final_width = fuzz_u16(data + size - 12);
        const size_t core_now = core_bytes(data, final_width, size - overhead);
        fuzz_put(data + size - 16, (uint32_t)(size - AETHER_RVNE_OVERHEAD - core_now), 4);
        fuzz_put(data + size - 10, 1, 2);
        fuzz_put(data + size - 8, 0x31545845u, 4);
    }
    fuzz_seal(data, size);
    return size;
}
