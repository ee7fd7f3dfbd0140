#include "aether/status.h"

typedef struct entry {
    const char *name;
    const char *text;
} entry;

static const entry TABLE[AETHER_STATUS_COUNT] = {
    {"OK", "success"},
    {"ARGUMENT", "an argument is missing or unknown"},
    {"CONFIG", "a setting is out of range"},
    {"SHAPE", "sizes do not fit each other"},
    {"NOT_FINITE", "an input holds NaN or infinity"},
    {"OVERFLOW", "a result left the range of its type"},
    {"CACHE_FULL", "the cache is full"},
    {"CACHE_MISMATCH", "the cache was made for another head"},
    {"NO_STREAMING", "this head does not support streaming"},
    {"TOO_LARGE", "the memory needed is larger than any address space here"},
    {"MEMORY", "the memory given is too small"},
    {"ALIGNMENT", "the memory given is not aligned"},
    {"STATE", "the saved state is damaged"},
    {"KERNELS", "no such kernel variant on this processor"},
    {"BLOB_SHORT", "the blob is shorter than header and CRC"},
    {"BLOB_MAGIC", "the blob does not begin with the RVNE magic"},
    {"BLOB_VERSION", "the blob is of an unknown version"},
    {"BLOB_LENGTH", "the blob's declared and actual length differ"},
    {"BLOB_CRC", "the blob's CRC does not match"},
    {"BLOB_FLAGS", "the blob has an unknown flag"},
    {"BLOB_HEADER", "a value in the blob is out of range"},
    {"GOLDEN", "the golden file is damaged"},
};

const char *aether_status_text(aether_status status) {
    return (unsigned)status < AETHER_STATUS_COUNT ? TABLE[status].text : "unknown status";
}

const char *aether_status_name(aether_status status) {
    return (unsigned)status < AETHER_STATUS_COUNT ? TABLE[status].name : "unknown status";
}

aether_status aether_fail(aether_detail *detail, aether_status status, const char *field, const char *expected,
                          uint64_t found, size_t offset) {
    if (detail != NULL) {
        detail->field = field;
        detail->expected = expected;
        detail->found = found;
        detail->offset = offset;
    }
    return status;
}
