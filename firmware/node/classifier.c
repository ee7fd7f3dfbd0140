#include "classifier.h"

#include <string.h>

#include "aether/crc32.h"
#include "packets.h"

/* Offsets of the parts of a classifier's memory. */
typedef struct layout {
    size_t stream, stream_bytes, grid, grid_bytes, frame, total;
} layout;

static int lay_out(const aether_model *model, const node_wanted *wanted, layout *at) {
    const size_t frame_bytes = model->header.input_dim * sizeof(float);
    at->stream = (sizeof(node_classifier) + 7u) & ~(size_t)7u;
    if (aether_stream_size(model, wanted->context, wanted->cache, &at->stream_bytes) != AETHER_OK ||
        at->stream_bytes > SIZE_MAX / 2u) {
        return 0;
    }
    at->grid = at->stream + ((at->stream_bytes + 3u) & ~(size_t)3u);
    at->grid_bytes = 0;
    if (model->resample_period > 0 && aether_resample_size(model->header.input_dim, &at->grid_bytes) != AETHER_OK) {
        return 0;
    }
    at->frame = at->grid + at->grid_bytes;
    at->total = at->frame + frame_bytes;
    return 1;
}

static aether_status check_shape(const aether_model *model, const node_wanted *wanted, aether_detail *detail) {
    const aether_rvne_header *header = &model->header;
    if (wanted->context == 0) {
        return aether_fail(detail, AETHER_E_CONFIG, "context", "at least 1 frame", 0, SIZE_MAX);
    }
    if (wanted->input_dim != 0 && header->input_dim != wanted->input_dim) {
        return aether_fail(detail, AETHER_E_SHAPE, "input_dim", "the application's number of features",
                           header->input_dim, 8);
    }
    if (wanted->n_classes != 0 && header->n_classes != wanted->n_classes) {
        return aether_fail(detail, AETHER_E_SHAPE, "n_classes", "the application's number of classes",
                           header->n_classes, 18);
    }
    if (wanted->packets && header->n_classes > NODE_MAX_CLASSES) {
        return aether_fail(detail, AETHER_E_SHAPE, "n_classes", "at most 256, as many as a packet can name",
                           header->n_classes, 18);
    }
    return AETHER_OK;
}

static aether_status open_model(const void *blob, size_t bytes, const node_wanted *wanted, aether_model *model,
                                layout *at, aether_detail *detail) {
    aether_status status = aether_model_open(model, blob, bytes, NULL, detail);
    if (status == AETHER_OK) {
        status = check_shape(model, wanted, detail);
    }
    if (status == AETHER_OK && !lay_out(model, wanted, at)) {
        status = aether_fail(detail, AETHER_E_TOO_LARGE, "context", "a stream that fits into the address space",
                             wanted->context, SIZE_MAX);
    }
    return status;
}

aether_status node_classifier_size(const void *blob, size_t bytes, const node_wanted *wanted, size_t *need,
                                   aether_detail *detail) {
    aether_model model;
    layout at;
    aether_status status;
    if (wanted == NULL || need == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, "wanted and need", "not NULL", 0, SIZE_MAX);
    }
    status = open_model(blob, bytes, wanted, &model, &at, detail);
    if (status == AETHER_OK) {
        *need = at.total;
    }
    return status;
}

aether_status node_classifier_init(const void *blob, size_t bytes, const node_wanted *wanted, void *memory, size_t size,
                                   node_classifier **classifier, aether_detail *detail) {
    aether_model model;
    node_classifier *own = memory;
    unsigned char *base = memory;
    layout at;
    aether_status status;
    if (wanted == NULL || memory == NULL || classifier == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, "wanted, memory and classifier", "not NULL", 0, SIZE_MAX);
    }
    status = open_model(blob, bytes, wanted, &model, &at, detail);
    if (status != AETHER_OK) {
        return status;
    }
    if (((uintptr_t)memory & 7u) != 0) {
        return aether_fail(detail, AETHER_E_ALIGNMENT, "memory", "an address that is a multiple of 8",
                           (uint64_t)(uintptr_t)memory, SIZE_MAX);
    }
    if (size < at.total) {
        return aether_fail(detail, AETHER_E_MEMORY, "memory", "at least the bytes that node_classifier_size returns", size, SIZE_MAX);
    }
    own->model = model;
    own->frame = (float *)(void *)(base + at.frame);
    memset(&own->grid, 0, sizeof own->grid);
    status = aether_stream_init(&own->stream, &own->model, wanted->context, wanted->cache, base + at.stream,
                                at.stream_bytes);
    if (status == AETHER_OK && model.resample_period > 0) {
        status = aether_resample_init_model(&own->grid, &own->model, base + at.grid, at.grid_bytes);
    }
    if (status != AETHER_OK) {
        return aether_fail(detail, status, "memory", "a stream of this model", size, SIZE_MAX);
    }
    *classifier = own;
    return AETHER_OK;
}

static aether_status push(node_classifier *classifier, const float *frame, uint32_t *pushed) {
    const aether_status status = aether_stream_push(&classifier->stream, frame);
    *pushed += status == AETHER_OK;
    return status;
}

aether_status node_classifier_take(node_classifier *classifier, const float *frame, uint64_t time, uint32_t *pushed,
                                   int *restarted) {
    aether_status status;
    *restarted = 0;
    if (classifier->model.resample_period == 0) {
        return push(classifier, frame, pushed);
    }
    status = aether_resample_push(&classifier->grid, frame, time, restarted);
    if (*restarted) {
        aether_stream_reset(&classifier->stream);
    }
    return status;
}

uint32_t node_classifier_due(const node_classifier *classifier) {
    return aether_resample_due(&classifier->grid);
}

aether_status node_classifier_step(node_classifier *classifier, uint32_t *pushed) {
    const aether_status status = aether_resample_take(&classifier->grid, classifier->frame);
    return status == AETHER_OK ? push(classifier, classifier->frame, pushed) : status;
}

aether_status node_classifier_feed(node_classifier *classifier, const float *frame, uint64_t time, uint32_t *pushed,
                                   int *restarted) {
    uint32_t count = 0;
    int gap = 0;
    aether_status first = node_classifier_take(classifier, frame, time, &count, &gap);
    while (node_classifier_due(classifier) > 0) {
        const aether_status status = node_classifier_step(classifier, &count);
        if (first == AETHER_OK) {
            first = status;
        }
    }
    if (pushed != NULL) {
        *pushed = count;
    }
    if (restarted != NULL) {
        *restarted = gap;
    }
    return first;
}

void node_classifier_reset(node_classifier *classifier) {
    aether_stream_reset(&classifier->stream);
    aether_resample_reset(&classifier->grid);
}

const char *node_classifier_class_name(const node_classifier *classifier, uint32_t index) {
    const char *name = classifier->model.class_names;
    if (name == NULL || index >= classifier->model.header.n_classes) {
        return NULL;
    }
    for (; index > 0; index--) { /* the blob was checked: it has one zero byte per class */
        while (*name++ != 0) {
        }
    }
    return name;
}

static uint32_t mix(uint32_t h) {
    h = (h ^ h >> 16) * 0x85EBCA6Bu;
    h = (h ^ h >> 13) * 0xC2B2AE35u;
    return h ^ h >> 16;
}

uint32_t node_classifier_check(node_classifier *classifier, uint32_t frames, uint32_t seed) {
    const aether_model *model = &classifier->model;
    float *frame = classifier->frame;
    uint32_t crc = 0, i = 0, t, f;
    for (t = 0; t < frames; t++) {
        uint32_t code;
        for (f = 0; f < model->header.input_dim; f++, i++) {
            frame[f] = (float)(mix(seed + i * 0x9E3779B9u) >> 8) * 3.814697265625e-06f; /* 2^-18: exact */
        }
        code = (uint32_t)aether_stream_push(&classifier->stream, frame);
        crc = aether_crc32(crc, &code, sizeof code);
        if (code == AETHER_OK) {
            const float *embedding = aether_stream_embedding(&classifier->stream);
            crc = aether_crc32(crc, aether_stream_logits(&classifier->stream), model->header.n_classes * sizeof(float));
            if (embedding != NULL) {
                crc = aether_crc32(crc, embedding, model->embed_dim * sizeof(float));
            }
        }
    }
    aether_stream_reset(&classifier->stream);
    return crc;
}
