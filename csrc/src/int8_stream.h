/* What a stream of a model in integers is made of (docs/spec/integers.md). */
#ifndef AETHER_INT8_STREAM_H
#define AETHER_INT8_STREAM_H

#include "aether/stream.h"
#include "int8.h"

/* What the newest token sees, the same in every layer: where rows of keys and of values begin in the memory of a layer, tokens first;
   and each row's number of tokens, a power of two, as 256 times its exponent. */
typedef struct aether_int8_seen {
    uint32_t *keys, *values; /* [n] */
    int32_t *sizes;          /* [n] */
    int32_t *scores;         /* scratch of attending */
    int16_t *turns;
    size_t n;
} aether_int8_seen;

/* Bytes of scratch for one attending of a head with the effective history: the lists above and the scores. */
size_t aether_int8_attend_bytes(const aether_config *own);

/* Lists what token `length` sees, in scratch. */
void aether_int8_list_seen(const aether_cache *cache, unsigned char *scratch, aether_int8_seen *seen);

/* q [q_heads][head_dim] -> a, same shape: means of values, times 16. score: the multiplier of each query head. */
void aether_int8_attend(const aether_cache *cache, const aether_int8_seen *seen, const int16_t *q, const int32_t *score, int16_t *a);

/* aether_stream_push. scratch: stream->at.total - stream->at.state bytes, 8-byte aligned. */
aether_status aether_int8_push(aether_stream *s, const float *frame, unsigned char *scratch);

/* Makes what follows from the saved part of a stream's state. */
void aether_int8_restore(aether_stream *s);

/* 1 when all numbers of a saved stream are in their ranges: caches, and the rows after them. Any alignment. */
int aether_int8_sound(const aether_stream *s, const unsigned char *payload);

#endif
