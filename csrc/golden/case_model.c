/* Blobs and whole models. The blob is used where it lies in the file. */
#include "../src/bits.h"

#include "case.h"

#define SAVED_EXTRA 128u /* a saved state is the state in memory, a header and a CRC */

typedef struct model_case {
    aether_model model;
    golden_input frames;
    size_t n_frames, input_dim, n_classes, embed_dim;
    const uint32_t *runs; /* context, dtype */
    uint32_t n_runs;
} model_case;

static const void *blob_of(const golden_case *c, size_t *bytes) {
    golden_input blob;
    if (c->n_params == 0 || !golden_input_at(c, 0, &blob) || blob.words == NULL || c->params[0] > 4 * (size_t)blob.count) {
        return NULL;
    }
    *bytes = c->params[0];
    return blob.words;
}

static void put_logits(golden_sink *sink, const model_case *m, const float *logits, const float *embedding) {
    golden_put_floats(sink, logits, m->n_classes);
    if (m->embed_dim > 0) {
        golden_put_floats(sink, embedding, m->embed_dim);
    }
}

/* One way to run the model. */
typedef struct way {
    uint64_t context;
    aether_dtype dtype;
} way;

/* Run i of the case. */
static way way_of(const model_case *m, uint32_t i) {
    const way how = {m->runs[2 * i], (aether_dtype)m->runs[2 * i + 1]};
    return how;
}

static aether_status save_and_load(aether_stream *stream, const model_case *m, const way *how, void *memory,
                                   size_t bytes, void *saved, size_t saved_bytes) {
    const size_t need = aether_stream_saved_size(stream);
    aether_status status = need <= saved_bytes ? aether_stream_save(stream, saved, need) : AETHER_E_MEMORY;
    if (status == AETHER_OK) {
        memset(memory, 0xA5, bytes);
        status = aether_stream_init(stream, &m->model, how->context, how->dtype, memory, bytes);
    }
    return status == AETHER_OK ? aether_stream_load(stream, saved, need, NULL) : status;
}

enum how { PLAIN, SAVED, STATE };

/* Frame by frame. SAVED: the stream rejects a bad frame half way, and is saved and restored. STATE: what is compared is the saved
   stream after the last frame. */
static aether_status push_all(golden_run *run, const model_case *m, const way *how, enum how saved,
                              golden_sink *sink) {
    const size_t mark = run->arena.used;
    const uint32_t infinite = 0x7F800000u;
    aether_stream stream;
    float *frame, *bad;
    void *memory, *bytes = NULL;
    size_t size, saved_size = 0, t;
    aether_status status = aether_stream_size(&m->model, how->context, how->dtype, &size);
    if (status != AETHER_OK) {
        return status;
    }
    frame = golden_take(&run->arena, m->input_dim, sizeof(float));
    bad = golden_take(&run->arena, m->input_dim, sizeof(float));
    memory = golden_take(&run->arena, size, 1);
    if (golden_ready(run)) {
        status = aether_stream_init(&stream, &m->model, how->context, how->dtype, memory, size);
    }
    if (saved != PLAIN && status == AETHER_OK) {
        aether_memory memory_of;
        status = aether_model_memory(&m->model, how->context, how->dtype, &memory_of);
        saved_size = status == AETHER_OK ? memory_of.state + SAVED_EXTRA : 0;
        bytes = golden_take(&run->arena, saved_size, 1);
    }
    for (t = 0; golden_ready(run) && t < m->n_frames && status == AETHER_OK; t++) {
        golden_fill(&m->frames, t * m->input_dim, m->input_dim, frame);
        if (saved == SAVED && t == m->n_frames / 2) {
            memcpy(bad, frame, m->input_dim * sizeof(float));
            memcpy(bad + m->input_dim - 1, &infinite, sizeof infinite);
            if (aether_stream_push(&stream, bad) != AETHER_E_NOT_FINITE) {
                return AETHER_E_STATE;
            }
            status = save_and_load(&stream, m, how, memory, size, bytes, saved_size);
        }
        if (status == AETHER_OK) {
            status = aether_stream_push(&stream, frame);
        }
        if (status == AETHER_OK && saved != STATE) {
            put_logits(sink, m, aether_stream_logits(&stream), aether_stream_embedding(&stream));
        }
    }
    if (saved == STATE && golden_ready(run) && status == AETHER_OK) {
        size = aether_stream_saved_size(&stream);
        status = size <= saved_size ? aether_stream_save(&stream, bytes, size) : AETHER_E_MEMORY;
        if (status == AETHER_OK) {
            golden_put_bytes(sink, bytes, size);
        }
    }
    run->arena.used = mark;
    return status;
}

static void run_streams(golden_run *run, const model_case *m, enum how saved) {
    static const char *const paths[3] = {"stream", "saved stream", "saved"};
    golden_sink sink;
    aether_status status = AETHER_OK;
    uint32_t i;
    golden_sink_open(&sink, &run->c, paths[saved], 0);
    for (i = 0; i < m->n_runs && status == AETHER_OK; i++) {
        const way how = way_of(m, i);
        status = push_all(run, m, &how, saved, &sink);
    }
    if (golden_ready(run)) {
        golden_close(run, &sink, status, 1);
    }
}

static void run_forward(golden_run *run, const model_case *m) {
    float *frames = golden_take(&run->arena, m->n_frames * m->input_dim, sizeof(float));
    float *logits = golden_take(&run->arena, m->n_frames * m->n_classes, sizeof(float));
    float *embeddings = golden_take(&run->arena, m->n_frames * m->embed_dim, sizeof(float));
    const size_t mark = run->arena.used;
    aether_status status = AETHER_OK;
    golden_sink sink;
    uint32_t i;
    size_t t;
    golden_sink_open(&sink, &run->c, "forward", 0);
    for (i = 0; i < m->n_runs && status == AETHER_OK; i++) {
        const way how = way_of(m, i);
        void *workspace;
        size_t bytes = 0;
        run->arena.used = mark;
        status = aether_model_workspace(&m->model, m->n_frames, how.context, how.dtype, &bytes);
        workspace = golden_take(&run->arena, bytes, 1);
        if (!golden_ready(run)) {
            continue;
        }
        if (status == AETHER_OK) {
            golden_fill(&m->frames, 0, m->n_frames * m->input_dim, frames);
            status = aether_model_forward(&m->model, frames, m->n_frames, how.context, how.dtype, logits,
                                          m->embed_dim > 0 ? embeddings : NULL, workspace, bytes);
        }
        for (t = 0; t < m->n_frames && status == AETHER_OK; t++) {
            put_logits(&sink, m, logits + t * m->n_classes, embeddings + t * m->embed_dim);
        }
    }
    if (golden_ready(run)) {
        golden_close(run, &sink, status, status == AETHER_OK);
    }
}

static void run_model(golden_run *run) {
    const uint32_t *p = run->c.params;
    model_case m;
    size_t bytes;
    const void *blob = blob_of(&run->c, &bytes);
    if (blob == NULL || run->c.n_params < 6 || (run->c.n_params - 6) / 2 != p[5] ||
        !golden_input_at(&run->c, 1, &m.frames) ||
        aether_model_open(&m.model, blob, bytes, run->kernels, NULL) != AETHER_OK) {
        return;
    }
    m.n_frames = p[1];
    m.input_dim = p[2];
    m.n_classes = p[3];
    m.embed_dim = p[4];
    m.n_runs = p[5];
    m.runs = p + 6;
    if (m.model.header.input_dim != m.input_dim || m.model.header.n_classes != m.n_classes ||
        m.model.embed_dim != m.embed_dim) {
        return;
    }
    run->arena.used = 0;
    if (run->c.kernel == GOLDEN_STREAM_STATE) {
        run_streams(run, &m, STATE);
        return;
    }
    run_streams(run, &m, PLAIN);
    if (run->c.status == AETHER_OK && !run->arena.failed) {
        run->arena.used = 0;
        run_streams(run, &m, SAVED);
    }
    if (!run->arena.failed) {
        run->arena.used = 0;
        run_forward(run, &m);
    }
}

static void run_open(golden_run *run) {
    aether_model model;
    golden_sink sink;
    size_t bytes;
    const void *blob = blob_of(&run->c, &bytes);
    if (blob == NULL || !golden_ready(run)) {
        return;
    }
    golden_sink_open(&sink, &run->c, "open", 0);
    golden_close(run, &sink, aether_model_open(&model, blob, bytes, run->kernels, NULL), 1);
}

static void run_write(golden_run *run) {
    const uint32_t *p = run->c.params;
    aether_rvne_header header;
    golden_input weights;
    golden_sink sink;
    aether_status status;
    unsigned char *out;
    size_t bytes, words, i;
    if (run->c.n_params != 8 || !golden_input_at(&run->c, 0, &weights) || weights.words == NULL ||
        p[7] > 4 * (size_t)weights.count) {
        return;
    }
    header.flags = (uint8_t)p[0];
    header.input_dim = (uint16_t)p[1];
    header.n_q_heads = (uint16_t)p[2];
    header.n_kv_heads = (uint16_t)p[3];
    header.head_dim = (uint16_t)p[4];
    header.n_layers = (uint16_t)p[5];
    header.n_classes = (uint16_t)p[6];
    header.weights_len = p[7];
    bytes = (size_t)aether_rvne_size(&header);
    words = (bytes + 3) / 4;
    out = golden_take(&run->arena, words, 4);
    if (!golden_ready(run)) {
        return;
    }
    memset(out, 0, 4 * words);
    golden_sink_open(&sink, &run->c, "write", 0);
    status = aether_rvne_write(&header, weights.words, out, bytes, NULL);
    for (i = 0; i < words && status == AETHER_OK; i++) {
        uint32_t word;
        memcpy(&word, out + 4 * i, sizeof word);
        golden_put(&sink, word);
    }
    golden_close(run, &sink, status, 1);
}

void golden_run_model(golden_run *run) {
    if (run->c.kernel == GOLDEN_MODEL || run->c.kernel == GOLDEN_STREAM_STATE) {
        run_model(run);
    } else if (run->c.kernel == GOLDEN_BLOB_OPEN) {
        run_open(run);
    } else {
        run_write(run);
    }
}
