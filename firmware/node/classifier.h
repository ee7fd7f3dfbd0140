/* A blob and a stream on it, in one piece of memory. Nothing here allocates. */
#ifndef NODE_CLASSIFIER_H
#define NODE_CLASSIFIER_H

#include "aether/resample.h"
#include "aether/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the application requires of a blob. An input_dim or n_classes of 0 accepts any. */
typedef struct node_wanted {
    uint32_t input_dim;
    uint32_t n_classes;
    uint32_t context;   /* context of the stream in frames, at least 1 */
    aether_dtype cache; /* type of the stream's cache */
    int packets;        /* 1: at most NODE_MAX_CLASSES classes, as many as a packet can name */
} node_wanted;

/* A model and a stream on it, opened by node_classifier_init. Fields may be read. */
typedef struct node_classifier {
    aether_model model;
    aether_stream stream;
    aether_resampler grid; /* when model.resample_period > 0 */
    float *frame;          /* [input_dim], scratch for one frame */
} node_classifier;

/* Checks the whole blob (header, CRC, sections, every weight) and that it meets `wanted`. Stores in *need the bytes of memory that a
   classifier on it takes. Returns the codes of aether_model_open and aether_stream_size; AETHER_E_SHAPE when features or classes
   differ; AETHER_E_CONFIG for a context of 0. `detail` (may be NULL) names the field at fault. */
aether_status node_classifier_size(const void *blob, size_t bytes, const node_wanted *wanted, size_t *need,
                                   aether_detail *detail);

/* Makes a classifier in `memory` (8-byte aligned, at least `need` bytes, owned by the caller). The blob is used in place and must
   outlive the classifier. On failure *classifier is untouched. Returns the codes above, AETHER_E_MEMORY or AETHER_E_ALIGNMENT. */
aether_status node_classifier_init(const void *blob, size_t bytes, const node_wanted *wanted, void *memory, size_t size,
                                   node_classifier **classifier, aether_detail *detail);

/* Feeds one frame [input_dim] that arrived at `time` (microseconds). If the blob has a timing section, the frame is resampled: the stream
   takes none, one or several frames of the grid (at most AETHER_RESAMPLE_MAX_DUE + 1), and restarts after a gap that is too long.
   Otherwise it takes the frame unchanged. *pushed (may be NULL): frames that the stream took. *restarted (may be NULL): 1 when the stream
   restarted. Returns the codes of aether_stream_push and aether_resample_push; a frame that causes an error is left out, and the stream
   keeps its state. */
aether_status node_classifier_feed(node_classifier *classifier, const float *frame, uint64_t time, uint32_t *pushed,
                                   int *restarted);

/* The same in steps, for a task that must not compute for long: node_classifier_take with the frame, then node_classifier_step while
   node_classifier_due is not 0. A step pushes one frame of the grid. Without a timing section, take pushes the frame, and none is due. */
aether_status node_classifier_take(node_classifier *classifier, const float *frame, uint64_t time, uint32_t *pushed,
                                   int *restarted);
uint32_t node_classifier_due(const node_classifier *classifier);
aether_status node_classifier_step(node_classifier *classifier, uint32_t *pushed);

/* Discards all frames. */
void node_classifier_reset(node_classifier *classifier);

/* A zero-terminated class name, inside the blob. NULL: the blob names no classes, or `index` is out of range. */
const char *node_classifier_class_name(const node_classifier *classifier, uint32_t index);

/* The check value of docs/spec/slots.md, over `frames` synthetic frames. The stream must have just been reset, and is reset again
   afterwards. The context must be at least `frames`. */
uint32_t node_classifier_check(node_classifier *classifier, uint32_t frames, uint32_t seed);

#ifdef __cplusplus
}
#endif
#endif
