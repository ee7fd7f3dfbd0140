/* Any bytes as the saved state of a stream: what load accepts can be pushed on and saved again; what it rejects leaves the stream
   as it was. The first byte chooses the stream, the others are the state. */
#include "fuzz.h"

#define INPUT_DIM 3u
#define HEADS 2u
#define DIM 2u
#define CLASSES 2u
#define TAPS 3u
#define EMBED 2u
#define CORE (2u * INPUT_DIM * HEADS * DIM + 2u * INPUT_DIM * DIM + INPUT_DIM * CLASSES)
#define SECTIONS (8u + 4u + 4u * INPUT_DIM * (1u + TAPS) + 8u + 8u + 8u + 4u + 4u * EMBED * (1u + INPUT_DIM))
#define PATTERN_SECTION (8u + 20u)
#define BLOB_BYTES (AETHER_RVNE_OVERHEAD + 4u * CORE + PATTERN_SECTION + SECTIONS + 12u)
#define MOST_FRAMES (((uint64_t)1 << 62) - 1)

typedef struct writer {
    uint8_t *at;
    uint32_t seed;
} writer;

static void put(writer *w, uint32_t value, size_t bytes) {
    fuzz_put(w->at, value, bytes);
    w->at += bytes;
}

static void put_floats(writer *w, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float x;
        uint32_t bits;
        fuzz_values(&x, 1, &w->seed, 0);
        memcpy(&bits, &x, sizeof bits);
        put(w, bits, 4);
    }
}

static void put_section(writer *w, uint32_t id, uint32_t bytes) {
    put(w, id, 2);
    put(w, 0, 2);
    put(w, bytes, 4);
}

/* One layer; extended: with convolution, mean pooling and embedding, so that every part of a stream's state is there; then pyramid
   decides the pattern. */
static size_t build(uint8_t blob[BLOB_BYTES], int extended, int pyramid) {
    const uint32_t sections_bytes = SECTIONS + (pyramid ? PATTERN_SECTION : 0);
    aether_rvne_header header = {0, INPUT_DIM, HEADS, 1, DIM, 1, CLASSES, 4u * CORE};
    aether_detail detail = {0};
    writer w = {blob + AETHER_RVNE_HEADER_BYTES, 7};
    put_floats(&w, CORE);
    if (extended) {
        const uint8_t *sections = w.at;
        header.flags = AETHER_RVNE_FLAG_EXTENSION;
        if (pyramid) {
            const uint32_t fields[5] = {2, 1, 0, 8, 0};
            put_section(&w, 1, sizeof fields);
            for (size_t i = 0; i < 5; i++) {
                put(&w, fields[i], 4);
            }
        }
        put_section(&w, 7, 4u + 4u * INPUT_DIM * (1u + TAPS));
        put(&w, TAPS, 4);
        put_floats(&w, INPUT_DIM * (1u + TAPS));
        put_section(&w, 10, 8);
        put(&w, 1, 4);
        put(&w, 4, 4);
        put_section(&w, 11, 4u + 4u * EMBED * (1u + INPUT_DIM));
        put(&w, EMBED, 4);
        put_floats(&w, EMBED * (1u + INPUT_DIM));
        FUZZ_CHECK((size_t)(w.at - sections) == sections_bytes);
        put(&w, sections_bytes + 12u, 4);
        put(&w, INPUT_DIM, 2);
        put(&w, 1, 2);
        put(&w, 0x31545845u, 4);
        header.weights_len += sections_bytes + 12u;
    }
    FUZZ_CHECK(aether_rvne_write(&header, blob + AETHER_RVNE_HEADER_BYTES, blob, BLOB_BYTES, &detail) == AETHER_OK);
    return (size_t)aether_rvne_size(&header);
}

typedef struct session {
    aether_model model;
    aether_stream stream;
    void *blob, *memory;
} session;

static void push(session *x, size_t frames, uint32_t seed) {
    float frame[INPUT_DIM];
    for (size_t t = 0; t < frames; t++) {
        const uint64_t before = x->stream.length;
        fuzz_values(frame, INPUT_DIM, &seed, 0);
        const aether_status status = aether_stream_push(&x->stream, frame);
        FUZZ_CHECK(status == AETHER_OK || status == AETHER_E_OVERFLOW || before == MOST_FRAMES);
        FUZZ_CHECK(before != MOST_FRAMES || status == AETHER_E_CACHE_FULL);
        FUZZ_CHECK(x->stream.length == before + (status == AETHER_OK));
    }
}

static void open_session(session *x, uint32_t choice, size_t frames) {
    uint8_t blob[BLOB_BYTES];
    aether_detail detail = {0};
    size_t bytes = 0;
    const size_t blob_bytes = build(blob, choice & 1u, (choice & 0x40u) != 0);
    const uint64_t context = 1 + (choice >> 2 & 15u);
    const aether_dtype dtype = choice & 2u ? AETHER_BINARY16 : AETHER_BINARY32;
    x->blob = fuzz_copy(blob, blob_bytes);
    FUZZ_CHECK(aether_model_open(&x->model, x->blob, blob_bytes, NULL, &detail) == AETHER_OK);
    FUZZ_CHECK(aether_stream_size(&x->model, context, dtype, &bytes) == AETHER_OK);
    x->memory = fuzz_exact(bytes);
    FUZZ_CHECK(aether_stream_init(&x->stream, &x->model, context, dtype, x->memory, bytes) == AETHER_OK);
    push(x, frames, choice);
}

static void close_session(session *x) {
    free(x->memory);
    free(x->blob);
}

static uint8_t *save(const aether_stream *stream, size_t *bytes) {
    *bytes = aether_stream_saved_size(stream);
    uint8_t *saved = fuzz_exact(*bytes);
    FUZZ_CHECK(aether_stream_save(stream, saved, *bytes) == AETHER_OK);
    return saved;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    session x;
    aether_detail detail = {0};
    size_t before_bytes = 0, after_bytes = 0;
    if (size == 0) {
        return 0;
    }
    uint8_t *state = fuzz_copy(data + 1, size - 1);
    open_session(&x, data[0], size % 23);
    uint8_t *before = save(&x.stream, &before_bytes);
    const aether_status loaded = aether_stream_load(&x.stream, state, size - 1, &detail);
    fuzz_named(loaded, &detail);
    uint8_t *after = save(&x.stream, &after_bytes);
    if (loaded == AETHER_OK) {
        FUZZ_CHECK(after_bytes == size - 1);
        FUZZ_CHECK(aether_stream_load(&x.stream, after, after_bytes, NULL) == AETHER_OK);
        uint8_t *again = save(&x.stream, &before_bytes);
        FUZZ_CHECK(before_bytes == after_bytes && memcmp(again, after, after_bytes) == 0);
        free(again);
        push(&x, 20, (uint32_t)size);
    } else {
        FUZZ_CHECK(after_bytes == before_bytes && memcmp(after, before, after_bytes) == 0);
    }
    free(after);
    free(before);
    free(state);
    close_session(&x);
    return 0;
}

/* Short inputs become a true saved state; all but a few get their CRC corrected. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    if (size < 16) {
        session x;
        open_session(&x, seed & 63u, seed >> 6 & 31u);
        uint8_t *saved = save(&x.stream, &size);
        size = size < max_size ? size : max_size - 1;
        data[0] = (uint8_t)(seed & 63u);
        memcpy(data + 1, saved, size);
        free(saved);
        close_session(&x);
        return size + 1;
    }
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 16 != 0 && size > 1) {
        fuzz_seal(data + 1, size - 1);
    }
    return size;
}
