/* What a blob holds (docs/spec/rvne.md), declared once: its sections, the values and the arrays in them. The reader, the list of
   arrays and the model itself are made of these lists. Programs need only model.h. */
#ifndef AETHER_SECTIONS_H
#define AETHER_SECTIONS_H

/* X(SECTION, name, rule): in the order of their numbers, which begin at 0 with the core arrays. `rule` names what sections.c does
   besides: plain (nothing), or a function that reads the payload or checks what was read. */
#define AETHER_SECTIONS(X)                       \
    X(CORE, "weights", plain)                    \
    X(PATTERN, "pattern", pattern)               \
    X(SUBCARRIERS, "subcarriers", subcarriers)   \
    X(AGC, "agc", plain)                         \
    X(NORMALISATION, "normalisation", plain)     \
    X(PROJECTION, "projection", plain)           \
    X(NORM, "norm", plain)                       \
    X(CONVOLUTION, "convolution", plain)         \
    X(BIAS, "bias", plain)                       \
    X(FEED_FORWARD, "feed_forward", feed_forward) \
    X(POOLING, "pooling", pooling)               \
    X(EMBEDDING, "embedding", plain)             \
    X(CLASS_NAMES, "class_names", class_names)   \
    X(FRAME_RATE, "frame_rate", plain)           \
    X(PROVENANCE, "provenance", provenance)      \
    X(STEM, "stem", plain)                       \
    X(TIMING, "timing", timing)                  \
    X(SUBCARRIER_NUMBERS, "subcarrier_numbers", subcarrier_numbers) \
    X(CALIBRATION, "calibration", plain)         \
    X(INTEGERS, "integers", integers)

/* X(SECTION, member, name, least, most, expected): the values at the start of a payload, in order. u32, stored in the uint32_t
   `member` of aether_model; with least and most 0, binary32 above 0, stored in a float. */
#define AETHER_VALUES(X)                                                                                  \
    X(AGC, agc, "agc.kind", 0, 1, "0 or 1")                                                               \
    X(NORM, eps, "norm.eps", 0, 0, "more than 0")                                                         \
    X(CONVOLUTION, taps, "convolution.taps", 1, 64, "1 to 64")                                            \
    X(FEED_FORWARD, hidden, "feed_forward.hidden", 1, 0x7FFFFFFF, "at least 1")                           \
    X(POOLING, pool_kind, "pooling.kind", 0, 1, "0 or 1")                                                 \
    X(POOLING, pool_frames, "pooling.n", 1, 65535, "1 for newest, 1 to 65535 for mean")                   \
    X(EMBEDDING, embed_dim, "embedding.dim", 1, 0x7FFFFFFF, "at least 1")                                 \
    X(FRAME_RATE, frame_rate, "frame_rate", 0, 0, "more than 0")                                          \
    X(STEM, stem_taps, "stem.taps", 1, 64, "1 to 64")                                                     \
    X(STEM, stem_activation, "stem.activation", 0, 1, "0 or 1")                                           \
    X(TIMING, label_delay, "timing.label_delay", 0, 65535, "at most 65535")                               \
    X(TIMING, resample_period, "timing.period", 0, 16777216, "0, or 1 to 16777216")                       \
    X(TIMING, resample_max_gap, "timing.max_gap", 0, 16777216, "period to 256 periods, at most 16777216")  \
    X(CALIBRATION, temperature, "calibration.temperature", 0, 0, "more than 0")                         \
    X(INTEGERS, input_unit, "integers.input_unit", 0, 0, "a power of two from 2^-24 to 2^24")              \
    X(INTEGERS, logit_unit, "integers.logit_unit", 0, 0, "a power of two from 2^-24 to 2^24")

/* X(ARRAY, SECTION, name, scope, type, rows, columns): in blob order. EACH: one for each layer; neighbours of one section, scope
   and type stand together, layer by layer. ONCE: one for the model. VECTORS are binary32, or int32 in a model in integers; MATRICES are
   of the blob's type. rows, columns: a number, or a size of model_layout.c; columns 0 for a vector. An array of no rows is not there; the
   first of neighbours always is. */
#define AETHER_ARRAYS(X)                                                                            \
    X(ATTENTION_WQ, CORE, "attention.wq", EACH, MATRICES, WIDTH, Q_WIDTH)                           \
    X(ATTENTION_WK, CORE, "attention.wk", EACH, MATRICES, WIDTH, KV_WIDTH)                          \
    X(ATTENTION_WV, CORE, "attention.wv", EACH, MATRICES, WIDTH, KV_WIDTH)                          \
    X(ATTENTION_WO, CORE, "attention.wo", EACH, MATRICES, Q_WIDTH, WIDTH)                           \
    X(CLASSIFIER_WEIGHT, CORE, "classifier.weight", ONCE, MATRICES, WIDTH, N_CLASSES)               \
    X(NORMALISATION_MEAN, NORMALISATION, "normalisation.mean", ONCE, VECTORS, INPUT_DIM, 0)         \
    X(NORMALISATION_SCALE, NORMALISATION, "normalisation.scale", ONCE, VECTORS, INPUT_DIM, 0)       \
    X(PROJECTION_BIAS, PROJECTION, "projection.bias", ONCE, VECTORS, WIDTH, 0)                      \
    X(PROJECTION_WEIGHT, PROJECTION, "projection.weight", ONCE, MATRICES, INPUT_DIM, WIDTH)         \
    X(NORM_WEIGHT, NORM, "norm.weight", EACH, VECTORS, WIDTH, 0)                                    \
    X(NORM_FINAL, NORM, "norm.final", ONCE, VECTORS, WIDTH, 0)                                      \
    X(CONVOLUTION_BIAS, CONVOLUTION, "convolution.bias", EACH, VECTORS, WIDTH, 0)                   \
    X(CONVOLUTION_WEIGHT, CONVOLUTION, "convolution.weight", EACH, VECTORS, TAPS, WIDTH)            \
    X(ATTENTION_BQ, BIAS, "attention.bq", EACH, VECTORS, Q_WIDTH, 0)                                \
    X(ATTENTION_BK, BIAS, "attention.bk", EACH, VECTORS, KV_WIDTH, 0)                               \
    X(ATTENTION_BV, BIAS, "attention.bv", EACH, VECTORS, KV_WIDTH, 0)                               \
    X(ATTENTION_BO, BIAS, "attention.bo", EACH, VECTORS, WIDTH, 0)                                  \
    X(CLASSIFIER_BIAS, BIAS, "classifier.bias", ONCE, VECTORS, N_CLASSES, 0)                        \
    X(FEED_FORWARD_NORM, FEED_FORWARD, "feed_forward.norm", EACH, VECTORS, WIDTH, 0)                \
    X(FEED_FORWARD_B1, FEED_FORWARD, "feed_forward.b1", EACH, VECTORS, HIDDEN, 0)                   \
    X(FEED_FORWARD_B2, FEED_FORWARD, "feed_forward.b2", EACH, VECTORS, WIDTH, 0)                    \
    X(FEED_FORWARD_W1, FEED_FORWARD, "feed_forward.w1", EACH, MATRICES, WIDTH, HIDDEN)              \
    X(FEED_FORWARD_W2, FEED_FORWARD, "feed_forward.w2", EACH, MATRICES, HIDDEN, WIDTH)              \
    X(EMBEDDING_BIAS, EMBEDDING, "embedding.bias", ONCE, VECTORS, EMBED_DIM, 0)                     \
    X(EMBEDDING_WEIGHT, EMBEDDING, "embedding.weight", ONCE, MATRICES, WIDTH, EMBED_DIM)            \
    X(STEM_BIAS, STEM, "stem.bias", ONCE, VECTORS, WIDTH, 0)                                        \
    X(STEM_WEIGHT, STEM, "stem.weight", ONCE, VECTORS, STEM_TAPS, WIDTH)                            \
    X(INTEGERS_Q, INTEGERS, "integers.q", EACH, VECTORS, Q_WIDTH, 0)                                \
    X(INTEGERS_K, INTEGERS, "integers.k", EACH, VECTORS, KV_WIDTH, 0)                               \
    X(INTEGERS_V, INTEGERS, "integers.v", EACH, VECTORS, KV_WIDTH, 0)                               \
    X(INTEGERS_O, INTEGERS, "integers.o", EACH, VECTORS, WIDTH, 0)                                  \
    X(INTEGERS_SCORE, INTEGERS, "integers.score", EACH, VECTORS, Q_HEADS, 0)                        \
    X(INTEGERS_CONVOLUTION, INTEGERS, "integers.convolution", EACH, VECTORS, CONVOLVED, 0)          \
    X(INTEGERS_W1, INTEGERS, "integers.w1", EACH, VECTORS, HIDDEN, 0)                               \
    X(INTEGERS_W2, INTEGERS, "integers.w2", EACH, VECTORS, FED, 0)                                  \
    X(INTEGERS_CLASSIFIER, INTEGERS, "integers.classifier", ONCE, VECTORS, N_CLASSES, 0)            \
    X(INTEGERS_PROJECTION, INTEGERS, "integers.projection", ONCE, VECTORS, PROJECTED, 0)            \
    X(INTEGERS_STEM, INTEGERS, "integers.stem", ONCE, VECTORS, STEMMED, 0)                          \
    X(INTEGERS_EMBEDDING, INTEGERS, "integers.embedding", ONCE, VECTORS, EMBED_DIM, 0)

enum {
#define AETHER_X(NAME, name, rule) AETHER_SECTION_##NAME,
    AETHER_SECTIONS(AETHER_X)
#undef AETHER_X
    AETHER_SECTION_COUNT
};

enum {
#define AETHER_X(ARRAY, SECTION, name, scope, type, rows, columns) AETHER_##ARRAY,
    AETHER_ARRAYS(AETHER_X)
#undef AETHER_X
    AETHER_ARRAY_COUNT
};

#endif
