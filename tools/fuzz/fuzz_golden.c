/* Any bytes as a golden file: what check accepts is run, in the portable variant and in the fastest; whether cases pass does not
   matter here. */
#include "case.h"
#include "fuzz.h"

#define GOLDEN_MAGIC 0x31564741u
#define GOLDEN_VERSION 1u

/* A few bytes can ask for billions of words by rule: legal, slow, and not the subject. */
#define WORDS_LIMIT 4096u
#define TOKENS_LIMIT 100u
#define MEMORY_LIMIT ((size_t)512 << 10)

static void count_report(void *user, const aether_golden_result *result) {
    size_t *reports = user;
    FUZZ_CHECK(strlen(result->name) < 64 && strlen(result->path) < 64);
    FUZZ_CHECK((unsigned)result->status < AETHER_STATUS_COUNT);
    *reports += 1;
}

/* Where a case says how much work it is: all its parameters, or of those with a configuration or a blob the tokens alone. */
static int is_small_case(const golden_case *c) {
    golden_input input;
    for (uint32_t i = 0; i < c->n_inputs && golden_input_at(c, i, &input); i++) {
        if (input.count > WORDS_LIMIT) {
            return 0;
        }
    }
    if (c->kernel == GOLDEN_MODEL || c->kernel == GOLDEN_STREAM_STATE) {
        return c->n_params < 2 || c->params[1] <= TOKENS_LIMIT;
    }
    const int configured = c->kernel == GOLDEN_ATTENTION || c->kernel == GOLDEN_CACHE_STATE ||
                           c->kernel == GOLDEN_PATTERN || c->kernel == GOLDEN_BLOCK_MEAN;
    if (configured) {
        return c->n_params <= GOLDEN_CONFIG_WORDS || c->params[GOLDEN_CONFIG_WORDS] <= TOKENS_LIMIT;
    }
    for (uint32_t i = 0; i < c->n_params; i++) {
        if (c->params[i] > WORDS_LIMIT) {
            return 0;
        }
    }
    return c->n_out <= WORDS_LIMIT;
}

static int is_small(const uint32_t *file, size_t size) {
    const size_t end = size / 4 - 1;
    golden_case c;
    for (size_t word = 4; word < end && golden_case_read(file, word, end, &c, &word);) {
        if (!is_small_case(&c)) {
            return 0;
        }
    }
    return 1;
}

static void run(const void *file, size_t size, const aether_kernels *kernels) {
    size_t need = 0, reports = 0;
    aether_golden_totals totals;
    const aether_status sized = aether_golden_scratch(file, size, kernels, &need);
    FUZZ_CHECK(sized == AETHER_OK || sized == AETHER_E_TOO_LARGE);
    if (sized != AETHER_OK || need > MEMORY_LIMIT) {
        need = 65536; /* cases that need more report that, and the file is still walked */
    }
    void *scratch = fuzz_exact(need);
    FUZZ_CHECK(aether_golden_run(file, size, kernels, scratch, need, count_report, &reports, &totals) == AETHER_OK);
    FUZZ_CHECK(totals.checks == reports && totals.failed <= totals.checks);
    free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t cases = 0;
    void *file = fuzz_copy(data, size);
    const aether_status checked = aether_golden_check(file, size, &cases);
    FUZZ_CHECK(checked == AETHER_OK || checked == AETHER_E_GOLDEN);
    if (checked == AETHER_OK && is_small(file, size)) {
        run(file, size, aether_kernels_portable());
        run(file, size, NULL);
    }
    free(file);
    return 0;
}

/* Most inputs have magic, version, length and CRC corrected. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    size = LLVMFuzzerMutate(data, size, max_size);
    if (size < 20 || seed % 16 == 0) {
        return size;
    }
    size &= ~(size_t)3;
    fuzz_put(data, GOLDEN_MAGIC, 4);
    fuzz_put(data + 4, GOLDEN_VERSION, 4);
    fuzz_put(data + 8, (uint32_t)size, 4);
    fuzz_seal(data, size);
    return size;
}
