#include "calibration.h"

#include <string.h>

#include "counter.h"

/* As in src/aether_temporal/running/motion_threshold.py. */
#define SETTLING 2.0f /* seconds */
#define SECONDS 8.0f
#define MARGIN 0.5f
#define LOWEST (-2.0f)

static const char CLASSES[] = "quiet\0moving";

aether_status node_calibration_fits(const aether_model *model, aether_detail *detail) {
    if (model->header.n_classes != 2 || model->class_names_bytes < sizeof CLASSES ||
        memcmp(model->class_names, CLASSES, sizeof CLASSES) != 0) {
        return aether_fail(detail, AETHER_E_CONFIG, "class names", "quiet, moving", model->header.n_classes, SIZE_MAX);
    }
    if (!(model->frame_rate > 0.0f)) {
        return aether_fail(detail, AETHER_E_CONFIG, "frame rate", "one that the blob states", 0, SIZE_MAX);
    }
    return AETHER_OK;
}

aether_status node_calibration_begin(node_calibration *calibration, const aether_model *model, uint64_t now, aether_detail *detail) {
    const aether_status status = node_calibration_fits(model, detail);
    if (status == AETHER_OK) {
        calibration->settling = (uint32_t)(SETTLING * model->frame_rate + 0.5f);
        calibration->wanted = (uint32_t)(SECONDS * model->frame_rate + 0.5f);
        calibration->left = calibration->settling;
        calibration->seen = calibration->alarms = 0;
        calibration->until = now + NODE_CALIBRATION_PATIENCE;
        node_counter_set(&calibration->state, NODE_CALIBRATION_MEASURING);
    }
    return status;
}

void node_calibration_restart(node_calibration *calibration) {
    calibration->left = calibration->settling;
}

static void end(node_calibration *calibration) {
    const float threshold = calibration->highest + MARGIN;
    if (2u * calibration->alarms > calibration->seen) {
        node_counter_set(&calibration->state, NODE_CALIBRATION_MOTION);
    } else {
        node_calibration_set(calibration, threshold > LOWEST ? threshold : LOWEST);
        node_counter_set(&calibration->state, NODE_CALIBRATION_MEASURED);
    }
}

void node_calibration_take(node_calibration *calibration, const float *logits) {
    float odds;
    if (calibration->state != NODE_CALIBRATION_MEASURING) {
        return;
    }
    if (calibration->left > 0) {
        calibration->left--;
        return;
    }
    odds = logits[1] - logits[0];
    if (calibration->seen == 0 || odds > calibration->highest) {
        calibration->highest = odds;
    }
    calibration->alarms += odds > 0.0f;
    if (++calibration->seen >= calibration->wanted) {
        end(calibration);
    }
}

void node_calibration_expire(node_calibration *calibration, uint64_t now) {
    if (calibration->state == NODE_CALIBRATION_MEASURING && now >= calibration->until) {
        node_counter_set(&calibration->state, NODE_CALIBRATION_FRAMES);
    }
}

void node_calibration_set(node_calibration *calibration, float threshold) {
    uint32_t bits;
    memcpy(&bits, &threshold, sizeof bits);
    node_counter_set(&calibration->threshold, bits);
}

float node_calibration_threshold(const node_calibration *calibration) {
    const uint32_t bits = node_counter_get(&calibration->threshold);
    float threshold;
    memcpy(&threshold, &bits, sizeof threshold);
    return threshold;
}

node_prediction node_calibration_predict(const node_calibration *calibration, const float *logits, size_t n) {
    const float threshold = node_calibration_threshold(calibration);
    float both[2];
    if (threshold == 0.0f || n != 2) {
        return node_prediction_of(logits, n);
    }
    both[0] = logits[0];
    both[1] = logits[1] - threshold;
    return node_prediction_of(both, 2);
}
