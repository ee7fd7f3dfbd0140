/* A room's threshold for a model that says whether somebody moves: what `aether calibrate` finds on a computer, from the frames of this
   node while nobody moves, with the same bits. */
#ifndef NODE_CALIBRATION_H
#define NODE_CALIBRATION_H

#include "aether/model.h"
#include "packets.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NODE_CALIBRATION_PATIENCE 60000000u /* microseconds within which the frames of a measurement must come */

typedef enum node_calibration_state {
    NODE_CALIBRATION_IDLE = 0,  /* nothing was measured since the start */
    NODE_CALIBRATION_MEASURING,
    NODE_CALIBRATION_MEASURED,  /* the threshold is that of the room */
    NODE_CALIBRATION_MOTION,    /* the model saw motion half of the time: the threshold is as before */
    NODE_CALIBRATION_FRAMES     /* too few frames came: likewise */
} node_calibration_state;

/* Zeroed, it has the model's own threshold. Written by node_calibration_ functions; other tasks may read threshold and state. */
typedef struct node_calibration {
    uint32_t threshold; /* bits of a binary32: subtracted from the log odds of motion */
    uint32_t state;     /* node_calibration_state */
    uint32_t settling;  /* frames of the grid left out, at first and after each gap */
    uint32_t wanted;    /* frames of the grid that count */
    uint32_t left, seen, alarms;
    float highest;
    uint64_t until;
} node_calibration;

/* Whether the model has the classes quiet and moving, and a frame rate. AETHER_E_CONFIG; detail (may be NULL) names the field. */
aether_status node_calibration_fits(const aether_model *model, aether_detail *detail);

/* Begins a measurement of ten seconds of the model's frames, the first two of which are left out. The stream must have just been reset. Returns the
   code of node_calibration_fits. */
aether_status node_calibration_begin(node_calibration *calibration, const aether_model *model, uint64_t now, aether_detail *detail);

/* While a measurement lasts: the stream restarted after a gap; the logits after a frame. */
void node_calibration_restart(node_calibration *calibration);
void node_calibration_take(node_calibration *calibration, const float *logits);

/* Ends a measurement that lasts for more than NODE_CALIBRATION_PATIENCE. */
void node_calibration_expire(node_calibration *calibration, uint64_t now);

void node_calibration_set(node_calibration *calibration, float threshold);
float node_calibration_threshold(const node_calibration *calibration);

/* The prediction with the room's threshold. */
node_prediction node_calibration_predict(const node_calibration *calibration, const float *logits, size_t n);

#ifdef __cplusplus
}
#endif
#endif
