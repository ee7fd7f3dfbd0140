/* Frames that arrive in bursts, put on a steady grid by linear interpolation (docs/spec/features.md). Streaming, in the
   caller's memory, no allocation; the same bits everywhere.

     aether_resample_push(&r, frame, aether_clock_read(&clock, microseconds), &restarted);
     if (restarted) aether_stream_reset(&stream);
     while (aether_resample_due(&r) > 0 && aether_resample_take(&r, out) == AETHER_OK) aether_stream_push(&stream, out); */
#ifndef AETHER_RESAMPLE_H
#define AETHER_RESAMPLE_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A counter of 32-bit microseconds, which wraps every 71.6 minutes, made into 64-bit ones that do not. All zero: not begun. Read only. */
typedef struct aether_clock {
    uint64_t elapsed;  /* microseconds since the first reading */
    uint32_t restarts; /* steps back: restarts of the sender */
    /* Private: do not read or write. */
    uint32_t last;
    uint32_t begun;
} aether_clock;

/* Microseconds since the first reading. A step forward of less than half a period is time (wraps included); after a step back,
   the sender has restarted: time does not advance for that reading, and later steps count from it. */
uint64_t aether_clock_read(aether_clock *clock, uint32_t microseconds);

/* Initialise with aether_resample_init. Read only. */
typedef struct aether_resampler {
    size_t dim;
    uint32_t period, max_gap, agc;
    /* Private: do not read or write. */
    uint32_t started, newest_row, due;
    uint64_t before, newest; /* when the two frames in memory came */
    uint64_t next;           /* of the grid */
    float *rows;             /* [2][dim] */
} aether_resampler;

/* Bytes of memory: two frames. AETHER_E_CONFIG (dim 0), AETHER_E_TOO_LARGE. */
aether_status aether_resample_size(size_t dim, size_t *bytes);

/* A grid of `period` microseconds that bridges gaps of at most max_gap (period <= max_gap <= AETHER_RESAMPLE_MAX_GAP, and
   at most AETHER_RESAMPLE_MAX_DUE periods), in `memory` (4-byte aligned, the caller's). agc 1: each frame is divided by its mean before anything else, as the model's own
   agc section does it; 0: frames as they are. AETHER_E_CONFIG, AETHER_E_MEMORY, AETHER_E_TOO_LARGE. */
aether_status aether_resample_init(aether_resampler *r, size_t dim, uint32_t period, uint32_t max_gap, uint32_t agc,
                                   void *memory, size_t bytes);

/* The same, as a model's timing and agc sections say. AETHER_E_CONFIG for a model that takes frames as they come
   (model->resample_period == 0). */
aether_status aether_resample_init_model(aether_resampler *r, const aether_model *model, void *memory, size_t bytes);

/* Forget all frames: the next one begins a grid. */
void aether_resample_reset(aether_resampler *r);

/* Takes one frame [dim] that came at `time` (microseconds below 2^63). Of frames that came at the same time the newest counts.
   *restarted (may be NULL) is 1 when a new grid began because the frame came before the last one or more than max_gap after it:
   the caller then resets what it feeds with this grid. On any error the state is unchanged. AETHER_E_NOT_FINITE, AETHER_E_OVERFLOW
   (agc), AETHER_E_ARGUMENT (grid frames are still due, or time too large). */
aether_status aether_resample_push(aether_resampler *r, const float *frame, uint64_t time, int *restarted);

/* Grid frames that can be taken now: at most max_gap / period + 1, and so AETHER_RESAMPLE_MAX_DUE + 1. */
uint32_t aether_resample_due(const aether_resampler *r);

/* When the next grid frame is, in the microseconds of push. */
uint64_t aether_resample_time(const aether_resampler *r);

/* The next grid frame, [dim], into out. AETHER_E_ARGUMENT when none is due; AETHER_E_OVERFLOW when the difference of two frames
   left binary32's range: out then has no meaning, and this grid frame is passed over. */
aether_status aether_resample_take(aether_resampler *r, float *out);

#ifdef __cplusplus
}
#endif
#endif
