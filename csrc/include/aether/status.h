/* Status codes: every function of the core that can fail returns one of these. Each such function may return two of them
   without saying so: AETHER_E_ARGUMENT when a required pointer is NULL, and AETHER_E_ALIGNMENT when memory is not aligned for
   its element type or as the function says. Functions that cannot fail (such as a reset or a getter) require a valid object and
   return their result directly. */
#ifndef AETHER_STATUS_H
#define AETHER_STATUS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__FAST_MATH__) || defined(_M_FP_FAST) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0) || \
    defined(__RECIPROCAL_MATH__) || defined(__ASSOCIATIVE_MATH__)
#error "aether: fast-math, or a part of it, changes results; compile without it"
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "aether: blobs are used in place, which needs a little-endian machine"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0 && __FLT_EVAL_METHOD__ != 16
#error "aether: binary32 must be computed as binary32 (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum aether_status {
    AETHER_OK = 0,
    AETHER_E_ARGUMENT,       /* a pointer is NULL or an enumeration value is unknown */
    AETHER_E_CONFIG,         /* a head or model setting is out of range */
    AETHER_E_SHAPE,          /* sizes do not fit each other */
    AETHER_E_NOT_FINITE,     /* an input holds NaN or infinity */
    AETHER_E_OVERFLOW,       /* a result left the range of its type */
    AETHER_E_CACHE_FULL,     /* policy "error" and capacity reached; 2^62 - 1 tokens or frames */
    AETHER_E_CACHE_MISMATCH, /* the cache was made for another head */
    AETHER_E_NO_STREAMING,   /* this head (dense, or non-causal) has no step */
    AETHER_E_TOO_LARGE,      /* the memory needed cannot be expressed in size_t */
    AETHER_E_MEMORY,         /* the memory given is smaller than the *_size function says */
    AETHER_E_ALIGNMENT,      /* the memory given is not aligned as documented */
    AETHER_E_STATE,          /* saved state is damaged or of another version */
    AETHER_E_KERNELS,        /* no such kernel variant, or not on this processor */
    AETHER_E_BLOB_SHORT,     /* fewer bytes than header and CRC */
    AETHER_E_BLOB_MAGIC,
    AETHER_E_BLOB_VERSION,
    AETHER_E_BLOB_LENGTH,    /* declared and actual length differ */
    AETHER_E_BLOB_CRC,
    AETHER_E_BLOB_FLAGS,     /* a flag bit this version does not know */
    AETHER_E_BLOB_HEADER,    /* a header, section or weight value is out of range */
    AETHER_E_GOLDEN,         /* a golden file is damaged or of another version */
    AETHER_STATUS_COUNT
} aether_status;

/* What went wrong, for people. Written only on failure, and only by functions that take one (NULL is fine). All strings
   are constants. `offset` is the byte offset in a blob or saved state, SIZE_MAX where that has no meaning. */
typedef struct aether_detail {
    const char *field;    /* which field or argument */
    const char *expected; /* what would have been accepted */
    uint64_t found;       /* the value found */
    size_t offset;
} aether_detail;

/* One sentence for a code; never NULL ("unknown status" for a value outside the list). */
const char *aether_status_text(aether_status status);

/* Short name of a code as written above without the prefix, for example "BLOB_CRC"; never NULL. */
const char *aether_status_name(aether_status status);

/* Fills `detail` (when not NULL) and returns `status`: the one way errors are made. */
aether_status aether_fail(aether_detail *detail, aether_status status, const char *field, const char *expected,
                          uint64_t found, size_t offset);

#ifdef __cplusplus
}
#endif
#endif
