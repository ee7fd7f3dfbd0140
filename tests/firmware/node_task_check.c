/* The task on a computer: starts and stops, frames, packets, clocks. */
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "node_component_check.h"

/* start: prints the code of temporal_task_start with the given slots. */
void check_start(void) {
    const temporal_task_config_t config = config_with("", 5005, 1000);
    const esp_err_t error = temporal_task_start(&config);
    printf("start %s\n", esp_err_to_name(error));
    if (error == ESP_OK) {
        IS(ESP_ERR_INVALID_STATE, temporal_task_start(&config));
        IS(ESP_OK, temporal_task_stop());
    } else {
        float frame[1] = {0};
        temporal_task_stats_t stats;
        IS(ESP_ERR_INVALID_STATE, temporal_task_submit(frame, 1));
        IS(ESP_ERR_INVALID_STATE, temporal_task_stats(&stats));
        IS(ESP_ERR_INVALID_STATE, temporal_task_stop());
    }
    MUST(fake_open() == 0);
}

/* rejections: what only the task's own settings can be wrong about. */
void check_rejections(void) {
    temporal_task_config_t config = config_with("not an address", 5005, 1000);
    int ahead, failures = 0;
    IS(ESP_ERR_INVALID_ARG, temporal_task_start(&config));
    config = config_with("127.0.0.1", 0, 1000);
    IS(ESP_ERR_INVALID_ARG, temporal_task_start(&config));
    config = config_with("", 5005, 0);
    IS(ESP_ERR_INVALID_ARG, temporal_task_start(&config));
    config = config_with("", 5005, 1000);
    config.context = 0;
    IS(ESP_ERR_INVALID_SIZE, temporal_task_start(&config)); /* shorter than the slot's check */
    config.context = 256;
    config.n_classes = 77;
    IS(ESP_ERR_INVALID_SIZE, temporal_task_start(&config));
    config.n_classes = 0;
    MUST(fake_open() == 0);
    for (ahead = 1;; ahead++) { /* every allocation can fail: nothing stays behind */
        esp_err_t error;
        (void)fake_fail_allocation(ahead);
        error = temporal_task_start(&config);
        (void)fake_fail_allocation(0);
        if (error == ESP_OK) {
            break;
        }
        IS(ESP_ERR_NO_MEM, error);
        MUST(fake_open() == 0);
        failures++;
    }
    MUST(failures >= 4); /* task, stack, classifier, queue */
    IS(ESP_OK, temporal_task_stop());
    MUST(fake_open() == 0);
}

/* A separate sender, like the Wi-Fi driver's task: it continues while the task is stopped and started. */
static void *send_for_ever(void *user) {
    float *frame = calloc(features, sizeof(float));
    uint32_t t = 0;
    while (__atomic_load_n(&sending, __ATOMIC_SEQ_CST)) {
        frame_of(t++, frame, features);
        (void)temporal_task_submit(frame, features);
    }
    free(frame);
    return user;
}

/* cycle N: starts and stops N times while frames come. */
void check_cycle(int times) {
    const temporal_task_config_t config = config_with("127.0.0.1", 9, 1);
    pthread_t sender;
    int i;
    IS(ESP_OK, temporal_task_start(&config));
    need_frame();
    IS(ESP_OK, temporal_task_stop());
    MUST(fake_open() == 0);
    MUST(pthread_create(&sender, NULL, send_for_ever, NULL) == 0);
    for (i = 0; i < times; i++) {
        temporal_task_stats_t stats;
        IS(ESP_OK, temporal_task_start(&config));
        IS(ESP_OK, temporal_task_stats(&stats));
        IS(ESP_OK, temporal_task_stop());
        IS(ESP_ERR_INVALID_STATE, temporal_task_stop());
        MUST(fake_open() == 0);
    }
    __atomic_store_n(&sending, 0, __ATOMIC_SEQ_CST);
    pthread_join(sender, NULL);
}

/* send PORT: frames, bad frames, a clock that jumps; the packets are for the test to read. The clock stands still between the
   jumps, so the number of packets does not depend on the speed of this computer. */
void check_send_packets(int port) {
    const int64_t second = 1000000, period = second / 10;
    const temporal_task_config_t config = config_with("127.0.0.1", port, 100);
    temporal_task_stats_t stats;
    uint32_t t;
    const uint32_t nan = 0x7FC00000u;
    fake_clock_stop(5000 * second);
    IS(ESP_OK, temporal_task_start(&config));
    need_frame();
    for (t = 0; t < 30; t++) { /* one at a time: the queue is never full */
        submit(t);
        WAIT_UNTIL(frames, t + 1);
    }
    memcpy(one_frame, &nan, 4);
    IS(ESP_OK, temporal_task_submit(one_frame, features));
    WAIT_UNTIL(frames, 31);
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.rejected == 1 && stats.sent == 0 && stats.idle == 0);
    fake_clock_jump(period);
    WAIT_UNTIL(sent, 1);
    fake_clock_jump(period); /* no frame since: no packet */
    WAIT_UNTIL(idle, 1);
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.sent == 1 && stats.classifications == 1 && stats.idle == 1 && stats.clock_jumps == 0);

    fake_clock_jump(-3600 * second);
    WAIT_UNTIL(clock_jumps, 1);
    for (t = 30; t < 40; t++) { /* two periods */
        submit(t);
        WAIT_UNTIL(frames, t + 2);
        fake_clock_jump(period / 5);
    }
    WAIT_UNTIL(sent, 3);

    submit(40);
    WAIT_UNTIL(frames, 42);
    fake_clock_jump(7200 * second); /* many periods ahead: one packet */
    WAIT_UNTIL(sent, 4);
    for (t = 41; t < 44; t++) {
        submit(t);
        WAIT_UNTIL(frames, t + 2);
    }
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.sent == 4);
    fake_clock_jump(period);
    WAIT_UNTIL(sent, 5);
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.sent == 5 && stats.classifications == 5 && stats.send_errors == 0 && stats.clock_jumps == 1);
    MUST(stats.rejected == 1 && stats.dropped == 0 && stats.frames == 45);
    MUST(stats.stack_left > 0 && stats.memory > 0);
    printf("sent %" PRIu32 "\n", stats.sent);
    IS(ESP_OK, temporal_task_stop());
    MUST(fake_open() == 0);
}

/* flood: more frames than can be taken. */
void check_flood(void) {
    const temporal_task_config_t config = config_with("", 5005, 10);
    temporal_task_stats_t stats;
    uint32_t t, full = 0, queued = 0;
    IS(ESP_OK, temporal_task_start(&config));
    need_frame();
    for (t = 0; t < 20000; t++) {
        esp_err_t error;
        frame_of(t, one_frame, features);
        error = temporal_task_submit(one_frame, features);
        MUST(error == ESP_OK || error == ESP_ERR_NO_MEM);
        full += error == ESP_ERR_NO_MEM;
        queued += error == ESP_OK;
    }
    MUST(full > 0);
    WAIT_UNTIL(frames, queued);
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.dropped == full && stats.frames == queued && stats.longest_queue <= 32 && stats.rejected == 0);
    printf("queued %" PRIu32 " dropped %" PRIu32 "\n", queued, full);
    IS(ESP_OK, temporal_task_stop());
    MUST(fake_open() == 0);
}

/* csi PAIRS: raw frames, whose 32-bit timestamps wrap. */
void check_csi(uint32_t expected_pairs) {
    const temporal_task_config_t config = config_with("", 5005, 10);
    temporal_task_stats_t stats;
    int8_t iq[1024] = {0};
    uint32_t t, pairs = 0;
    IS(ESP_ERR_INVALID_STATE, temporal_task_shape(&features, &pairs));
    IS(ESP_ERR_INVALID_STATE, temporal_task_submit_csi(iq, 5, 0, false, 0, 0));
    IS(ESP_OK, temporal_task_start(&config));
    IS(ESP_ERR_INVALID_ARG, temporal_task_shape(&features, NULL));
    IS(ESP_OK, temporal_task_shape(&features, &pairs));
    MUST(pairs == expected_pairs);
    IS(ESP_ERR_INVALID_SIZE, temporal_task_submit_csi(iq, pairs + 1, 0, false, 0, 0xFFFE0000u));
    IS(ESP_ERR_INVALID_ARG, temporal_task_submit_csi(NULL, pairs, 0, false, 0, 0));
    for (t = 0; t < 100; t++) {
        uint32_t i;
        for (i = 0; i < 2 * pairs; i++) {
            iq[i] = (int8_t)(t * 3u + i);
        }
        IS(ESP_OK, temporal_task_submit_csi(iq, pairs, 0, t % 2 != 0, t, 0xFFFF0000u + t * 20000u));
        WAIT_UNTIL(frames, t + 1);
    }
    WAIT_UNTIL(classifications, 1);
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.frames == 100 && stats.wrong_shape == 1 && stats.rejected == 0 && stats.clock_jumps == 0);
    MUST(stats.restarts <= 1); /* the first frame begins the blob's grid */
    IS(ESP_OK, temporal_task_submit_csi(iq, pairs, 0, false, 0, 5)); /* the driver's counter goes back */
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.clock_jumps == 1);
    IS(ESP_OK, temporal_task_stop());
    MUST(fake_open() == 0);
}

/* state PACKET: one feature-state packet, to a blob with nine features. */
void check_state(const char *path) {
    const temporal_task_config_t config = config_with("", 5005, 10);
    temporal_task_stats_t stats;
    unsigned char packet[61];
    const size_t bytes = load(path, packet, sizeof packet);
    IS(ESP_ERR_INVALID_STATE, temporal_task_submit_state(packet, bytes));
    IS(ESP_OK, temporal_task_start(&config));
    IS(ESP_OK, temporal_task_submit_state(packet, bytes));
    WAIT_UNTIL(frames, 1);
    packet[20] ^= 1;
    IS(ESP_ERR_INVALID_CRC, temporal_task_submit_state(packet, bytes));
    IS(ESP_ERR_INVALID_CRC, temporal_task_submit_state(packet, bytes - 1));
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.frames == 1 && stats.rejected == 0);
    IS(ESP_OK, temporal_task_stop());
}

/* other-shape PACKET: to a blob with two features. A frame that does not fit is rejected, and the figures say so. */
void check_wrong_shape(const char *path) {
    const temporal_task_config_t config = config_with("", 5005, 10);
    temporal_task_stats_t stats;
    unsigned char packet[61];
    const float frame[3] = {0};
    const size_t bytes = load(path, packet, sizeof packet);
    IS(ESP_OK, temporal_task_start(&config));
    IS(ESP_ERR_INVALID_SIZE, temporal_task_submit_state(packet, bytes));
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.wrong_shape == 1);
    IS(ESP_ERR_INVALID_SIZE, temporal_task_submit(frame, 3));
    IS(ESP_ERR_INVALID_SIZE, temporal_task_submit_csi((const int8_t *)packet, 30, 0, false, 0, 0));
    IS(ESP_OK, temporal_task_submit(frame, 2));
    WAIT_UNTIL(frames, 1);
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.wrong_shape == 3 && stats.frames == 1 && stats.dropped == 0 && stats.rejected == 0);
    IS(ESP_OK, temporal_task_stop());
}
