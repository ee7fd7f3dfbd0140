#include "node.h"

#include <string.h>

#include "counter.h"
#include "csi_input.h"

size_t node_queue_memory(const node_classifier *classifier) {
    return node_queue_size(classifier->model.header.input_dim);
}

aether_status node_init(node *n, node_classifier *classifier, uint8_t id, uint64_t period, void *memory) {
    if (classifier->model.header.n_classes > NODE_MAX_CLASSES) {
        return AETHER_E_SHAPE;
    }
    memset(n, 0, sizeof *n);
    n->classifier = classifier;
    n->id = id;
    node_queue_init(&n->queue, classifier->model.header.input_dim, memory);
    node_cadence_init(&n->cadence, period);
    return AETHER_OK;
}

static node_offered count_wrong_shape(node *n) {
    node_counter_add(&n->counts.wrong_shape, 1);
    return NODE_WRONG_SHAPE;
}

node_offered node_offer(node *n, const float *frame, size_t values, uint64_t time) {
    if (values != n->classifier->model.header.input_dim) {
        return count_wrong_shape(n);
    }
    return node_queue_put(&n->queue, frame, time) ? NODE_QUEUED : NODE_DROPPED;
}

node_offered node_offer_iq(node *n, const int8_t *iq, size_t n_pairs, uint16_t layout, int first_invalid, uint32_t number,
                           uint64_t time) {
    float *frame = node_queue_reserve(&n->queue);
    if (frame == NULL) {
        return NODE_DROPPED;
    }
    if (node_csi_frame(&n->classifier->model, iq, n_pairs, layout, first_invalid, frame) != AETHER_OK) {
        return count_wrong_shape(n);
    }
    if (n->receipts != NULL) {
        node_receipts_note(n->receipts, n->queue.put, number, iq, n_pairs, first_invalid);
    }
    node_queue_commit(&n->queue, time);
    return NODE_QUEUED;
}

static void count_rejection(node *n, aether_status status) {
    if (status != AETHER_OK) {
        node_counter_add(&n->counts.rejected, 1);
        n->counts.rejection = status;
    }
}

static aether_status take(node *n, const float *frame, uint64_t time, uint32_t *pushed, int *restarted) {
    aether_status status;
    if (n->receipts != NULL) {
        node_receipts_take(n->receipts, time);
    }
    status = node_classifier_take(n->classifier, frame, time, pushed, restarted);
    if (n->receipts != NULL) {
        node_receipts_took(n->receipts, n->queue.taken, status);
    }
    return status;
}

static aether_status step(node *n, uint32_t *pushed) {
    const aether_status status = node_classifier_step(n->classifier, pushed);
    if (n->receipts != NULL) {
        node_receipts_step(n->receipts, status);
    }
    return status;
}

int node_work(node *n) {
    uint32_t pushed = 0;
    if (node_classifier_due(n->classifier) == 0) {
        uint64_t time = 0;
        int restarted = 0;
        const float *frame = node_queue_front(&n->queue, &time);
        if (frame == NULL) {
            return 0;
        }
        count_rejection(n, take(n, frame, time, &pushed, &restarted));
        node_queue_release(&n->queue);
        node_counter_add(&n->counts.frames, 1);
        node_counter_add(&n->counts.restarts, (uint32_t)restarted);
        if (restarted) {
            n->fresh = 0;
            node_calibration_restart(&n->calibration);
        }
    }
    if (node_classifier_due(n->classifier) > 0) {
        count_rejection(n, step(n, &pushed));
    }
    node_counter_add(&n->counts.pushed, pushed);
    if (pushed > 0) {
        n->fresh = 1;
        node_calibration_take(&n->calibration, aether_stream_logits(&n->classifier->stream));
    }
    return 1;
}

aether_status node_calibrate(node *n, uint64_t now, aether_detail *detail) {
    const aether_status status = node_calibration_begin(&n->calibration, &n->classifier->model, now, detail);
    if (status == AETHER_OK) {
        node_classifier_reset(n->classifier);
        n->fresh = 0;
    }
    return status;
}

int node_classify(node *n, uint64_t now, unsigned char *packet) {
    const uint16_t n_classes = n->classifier->model.header.n_classes;
    const float *logits;
    node_class_packet fields;
    if (!node_cadence_due(&n->cadence, now)) {
        return 0;
    }
    logits = aether_stream_logits(&n->classifier->stream);
    if (!n->fresh || logits == NULL) {
        node_counter_add(&n->counts.idle, 1);
        return 0;
    }
    fields.n_classes = n_classes;
    fields.node_id = n->id;
    fields.time = now;
    fields.sequence = n->sequence++;
    fields.prediction = node_calibration_predict(&n->calibration, logits, n_classes);
    node_class_write(&fields, packet);
    if (n->receipts != NULL) {
        node_receipts_classified(n->receipts, fields.sequence, &fields.prediction);
    }
    n->fresh = 0;
    node_counter_add(&n->counts.classifications, 1);
    return 1;
}

uint64_t node_wait(const node *n, uint64_t now) {
    return node_cadence_wait(&n->cadence, now);
}
