/* Compares the kernels on this chip with golden vectors. */
#include <inttypes.h>

#include "context.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "golden.h"
#include "ruv_temporal.h"
#include "self_test_vectors.h"

static const char TAG[] = "ruv_self_test";

static void report(void *user, const aether_golden_result *result) {
    (void)user;
    if (!result->passed) {
        ESP_LOGE(TAG, "%s (%s): %u of %u words differ, the first is %u: expected %08" PRIX32 ", found %08" PRIX32 "; status %s",
                 result->name, result->path, (unsigned)result->mismatches, (unsigned)result->compared,
                 (unsigned)result->first, result->expected, result->got, aether_status_name(result->status));
    }
}

esp_err_t ruv_temporal_kernel_self_test(void) {
    aether_golden_totals totals = {0};
    aether_status status;
    size_t need = 0;
    void *scratch;
    status = aether_golden_scratch(ruv_self_test_vectors, ruv_self_test_bytes, NULL, &need); /* NULL: as the node opens models */
    if (status != AETHER_OK) {
        ESP_LOGE(TAG, "%s", aether_status_text(status));
        return status == AETHER_E_GOLDEN ? ESP_ERR_INVALID_CRC : ruv_error(status);
    }
    scratch = heap_caps_aligned_alloc(8, need, MALLOC_CAP_8BIT);
    if (scratch == NULL) {
        ESP_LOGE(TAG, "no %u bytes of memory", (unsigned)need);
        return ESP_ERR_NO_MEM;
    }
    status = aether_golden_run(ruv_self_test_vectors, ruv_self_test_bytes, NULL, scratch, need, report, NULL, &totals);
    heap_caps_free(scratch);
    if (status != AETHER_OK || totals.failed != 0 || totals.checks == 0) {
        ESP_LOGE(TAG, "%u of %u checks failed: this firmware must not run a model; was the core compiled with -ffast-math, "
                 "-fno-signed-zeros or -ffp-contract=fast?", (unsigned)totals.failed, (unsigned)totals.checks);
        return ESP_ERR_INVALID_STATE;
    }
    ESP_LOGI(TAG, "%u golden cases, %u words: every bit is the same", (unsigned)totals.cases, (unsigned)totals.compared);
    return ESP_OK;
}
