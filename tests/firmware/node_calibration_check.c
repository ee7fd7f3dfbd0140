/* Calibration on a computer: a motion model measures a quiet surrounding. */
#include <inttypes.h>
#include <string.h>

#include "csi_input.h"
#include "node_component_check.h"

/* Frames as test_node_task.py makes them: 100 a second, unevenly; the larger the depth, the more moves. */
static void feed_calibration(uint32_t depth, uint32_t count, uint32_t begin) {
    const aether_csi_facts facts = {.family = AETHER_CSI_CLASSIC};
    const uint16_t layout = node_layout(&facts);
    uint32_t t, i, s = 1;
    for (t = 0; t < count; t++) {
        int8_t iq[128];
        for (i = 0; i < 128; i++) {
            s = s * 1664525u + 1013904223u;
            iq[i] = (int8_t)(20u + i * 7u % 23u + t * (1u + i / 2u % 7u) / 3u % depth + (s >> 24) % 5u);
        }
        while (temporal_task_submit_csi(iq, 64, layout, false, 0, begin + t * 10000u + t * 7919u % 3000u) == ESP_ERR_NO_MEM) {
            vTaskDelay(1);
        }
    }
}

static uint32_t calibration_is(uint32_t state, const char *what) {
    temporal_task_stats_t stats;
    uint32_t bits;
    WAIT_UNTIL(calibration, state);
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.calibration == state);
    memcpy(&bits, &stats.threshold, 4);
    printf("%s %08" PRIx32 "\n", what, bits);
    return bits;
}

static uint32_t measure(uint32_t depth, uint32_t begin, uint32_t state, const char *what) {
    IS(ESP_OK, temporal_task_calibrate());
    WAIT_UNTIL(calibration, 1);
    feed_calibration(depth, 1100, begin);
    return calibration_is(state, what);
}

static void restart(const temporal_task_config_t *config) {
    IS(ESP_OK, temporal_task_stop());
    IS(ESP_OK, temporal_task_start(config));
}

/* calibration: slot a holds a motion model. Measures quiet rooms; every failure leaves the threshold as it was. */
void check_calibration(void) {
    const temporal_task_config_t config = config_with("", 5005, 1000);
    const int64_t second = 1000000;
    temporal_task_stats_t stats;
    uint32_t bits, ahead;
    IS(ESP_ERR_INVALID_STATE, temporal_task_calibrate());
    IS(ESP_ERR_INVALID_STATE, temporal_task_uncalibrate());
    fake_clock_stop(5000 * second);
    IS(ESP_OK, temporal_task_start(&config));
    MUST(calibration_is(0, "own") == 0);
    bits = measure(3, 0, 2, "quiet");
    MUST(bits != 0);
    restart(&config);
    MUST(calibration_is(0, "restarted") == bits);

    IS(ESP_OK, temporal_task_calibrate()); /* twice: the second one counts */
    MUST(measure(40, 20000000, 3, "moving") == bits);
    IS(ESP_OK, temporal_task_calibrate());
    while (IS(ESP_OK, temporal_task_stats(&stats)), stats.calibration != 1) {
        vTaskDelay(1);
    }
    feed_calibration(3, 400, 40000000);
    fake_clock_jump(61 * second);
    MUST(calibration_is(4, "short") == bits);
    restart(&config);
    MUST(calibration_is(0, "unchanged") == bits);

    IS(ESP_OK, temporal_task_uncalibrate());
    do {
        vTaskDelay(1);
        IS(ESP_OK, temporal_task_stats(&stats));
    } while (stats.threshold != 0.0f);
    restart(&config);
    MUST(calibration_is(0, "forgotten") == 0);

    for (ahead = 1; ahead <= 3; ahead++) { /* open, set and commit fail in turn: the threshold counts until the next start */
        (void)fake_fail_nvs((int)ahead);
        bits = measure(1, 60000000, 2, "lowest");
        WAIT_UNTIL(frames, 1100);
        (void)fake_fail_nvs(0);
        IS(ESP_OK, temporal_task_uncalibrate());
        restart(&config);
    }
    fake_nvs_there(false);
    MUST(measure(1, 80000000, 2, "nowhere") == bits);
    restart(&config);
    MUST(calibration_is(0, "own again") == 0);
    fake_nvs_there(true);
    (void)measure(3, 0, 2, "quiet again");
    IS(ESP_OK, temporal_task_stop());
    MUST(fake_open() == 0);
}

/* other-model: slot a holds another model than the one that was measured, slot b a model that does not say whether somebody moves. */
void check_other_calibration(const char *measured, const char *other, const char *none) {
    const temporal_task_config_t config = config_with("", 5005, 1000);
    fake_clock_stop(1);
    load_slot(0, measured);
    IS(ESP_OK, temporal_task_start(&config));
    MUST(measure(3, 0, 2, "measured") != 0);
    IS(ESP_OK, temporal_task_stop());
    load_slot(0, other);
    IS(ESP_OK, temporal_task_start(&config));
    MUST(calibration_is(0, "other") == 0);
    IS(ESP_OK, temporal_task_stop());
    load_slot(0, measured);
    IS(ESP_OK, temporal_task_start(&config));
    MUST(calibration_is(0, "the first") != 0);
    IS(ESP_OK, temporal_task_stop());
    load_slot(0, none);
    IS(ESP_OK, temporal_task_start(&config));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_calibrate());
    IS(ESP_OK, temporal_task_stop());
}
