/* A blob and a stream on it in one piece of memory: opened once, never allocating. */
#ifndef NODE_CLASSIFIER_H
#define NODE_CLASSIFIER_H

#include "aether/resample.h"
#include "aether/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the application asks of a blob. input_dim, n_classes 0: whatever the blob has. */
typedef struct node_wanted {
    uint32_t input_dim;
    uint32_t n_classes;
    uint32_t window;    /* context of the stream in frames, at least 1 */
    aether_dtype cache; /* type of the stream's cache */
} node_wanted;

/* The model and everything a stream on it takes; opened by node_classifier_init. Fields may be read. */
typedef struct node_classifier {
    aether_model model;
    aether_stream stream;
    aether_resampler grid; /* when model.resample_period > 0 */
    float *frame;          /* [input_dim], room for one that is made here */
} node_classifier;

/* Checks the blob whole (its header, CRC, sections, every weight) and that it is what is wanted, and says how many bytes of memory a
   classifier on it takes. The codes of aether_model_open and aether_stream_size; AETHER_E_SHAPE when features or classes differ,
   AETHER_E_CONFIG for a window of 0. `detail` (may be NULL) names what was wrong. */
aether_status node_classifier_size(const void *blob, size_t bytes, const node_wanted *wanted, size_t *need,
                                   aether_detail *detail);

/* Makes a classifier in `memory` (8-byte aligned, at least `need` bytes, the caller's until it is done with it). The blob is used in
   place and must stay. On failure *classifier is untouched. The codes above; AETHER_E_MEMORY, AETHER_E_ALIGNMENT. */
aether_status node_classifier_init(const void *blob, size_t bytes, const node_wanted *wanted, void *memory, size_t size,
                                   node_classifier **classifier, aether_detail *detail);

/* One frame [input_dim] that came at `time` (microseconds). A model whose blob has a timing section gets frames on its grid: none, one or
   several for this one, and a gap that is too long begins the stream anew. Any other gets the frame as it is. *pushed (may be NULL): frames
   that the stream took. *restarted (may be NULL): 1 when it began anew. The codes of aether_stream_push and aether_resample_push: whatever
   frame caused one is left out, and what was before stays. */
aether_status node_classifier_feed(node_classifier *classifier, const float *frame, uint64_t time, uint32_t *pushed,
                                   int *restarted);

/* Forgets all frames. */
void node_classifier_reset(node_classifier *classifier);

/* Zero-terminated, in the blob; NULL when it names no classes, or there is no such class. */
const char *node_classifier_class_name(const node_classifier *classifier, uint32_t index);

/* The answer of docs/spec/slots.md that the model gives to `frames` made-up frames: it goes on from the stream's state, which must be a
   fresh one, and leaves it fresh. The window must hold `frames`. */
uint32_t node_classifier_check(node_classifier *classifier, uint32_t frames, uint32_t seed);

#ifdef __cplusplus
}
#endif
#endif
