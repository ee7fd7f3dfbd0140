/* Pushes frames into a stream without end, and compares it at moments of the caller's choice with streams that take another way to the
   same frame: all bits are equal, or the core forgets too little, too much or wrongly. Plain C, no allocation: the same on hosts and
   chips. */
#ifndef AETHER_APP_SOAK_H
#define AETHER_APP_SOAK_H

#include "aether/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What soak_begin made. Read only. */
typedef struct soak {
    aether_stream stream; /* that runs; stream.length counts its frames */
    aether_stream other;  /* that is compared with it */
    uint64_t reach;       /* frames that the newest prediction depends on: those before it are forgotten */
    uint64_t period;      /* the pattern of frame t and of frame t + period are the same */
    uint64_t turn;        /* as `period`, and every ring is at the same place */
    uint64_t compared;    /* frames whose predictions were equal to those of another stream */
    uint32_t seed;
    unsigned char *saved; /* a saved state */
    size_t saved_bytes;
    float *frame; /* [input_dim] */
} soak;

/* Bytes of memory that soak_begin needs. The codes of aether_stream_size; AETHER_E_CONFIG: the model sees frames of all ages (global
   tokens), so that it never forgets. */
aether_status soak_size(const aether_model *model, uint64_t context, aether_dtype dtype, size_t *bytes);

/* Two empty streams in `memory` (8-byte aligned, the caller's). seed: of the frames. The codes of soak_size, AETHER_E_MEMORY. */
aether_status soak_begin(soak *s, const aether_model *model, uint64_t context, aether_dtype dtype, uint32_t seed, void *memory,
                         size_t bytes);

/* Each function below gives 1, or 0 where a call failed or a bit differed. */

int soak_push(soak *s, uint64_t frames);

/* A new stream takes the frames within reach, and predicts the same, also for the next frames. */
int soak_forgets(soak *s);

/* A state that is saved and loaded elsewhere continues as the stream does. */
int soak_restores(soak *s);

/* A state whose count of frames is moved close below `end` by whole turns predicts across it what the stream predicts: a counter of
   log2(end) bits would end there. end 2^62: after frame 2^62 - 1 a push is AETHER_E_CACHE_FULL and changes nothing. Pushes up to `turn`
   frames first. */
int soak_ages(soak *s, uint64_t end);

#ifdef __cplusplus
}
#endif
#endif
