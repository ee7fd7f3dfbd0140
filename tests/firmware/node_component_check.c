/* The component on a computer: the drop-in interface and the task, as node firmware calls them. What to do is the first argument; blobs and
   slot images are files. Prints `ok NAME` at the end, or what failed. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "esp_log.h"
#include "fake.h"
#include "prototypes.h"
#include "ruv_temporal_ext.h"
#include "temporal_task.h"
#include "temporal_update.h"
#ifndef FAKE_SWITCHED_OFF
#include "context.h"
#endif

#define MUST(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            printf("line %d: %s\n", __LINE__, #condition);                          \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

static int is(esp_err_t expected, esp_err_t got, int line) {
    if (expected != got) {
        printf("line %d: expected %s, got %s\n", line, esp_err_to_name(expected), esp_err_to_name(got));
        exit(1);
    }
    return 1;
}
#define IS(expected, got) ((void)is(expected, got, __LINE__))

static size_t load(const char *path, void *to, size_t capacity) {
    FILE *file = fopen(path, "rb");
    size_t bytes;
    MUST(file != NULL);
    bytes = fread(to, 1, capacity, file);
    fclose(file);
    MUST(bytes < capacity);
    return bytes;
}

static uint8_t *blob;
static size_t blob_bytes;
static uint64_t blob_memory[1 << 14];

static void load_blob(const char *path) {
    blob = (uint8_t *)blob_memory;
    blob_bytes = load(path, blob, sizeof blob_memory);
}

static void load_slot(unsigned slot, const char *path) {
    memset(fake_flash[slot], 0xFF, FAKE_SLOT_BYTES);
    if (path[0] != '-') {
        (void)load(path, fake_flash[slot], FAKE_SLOT_BYTES);
    }
}

static void frame_of(uint32_t t, float *frame, uint32_t n) {
    uint32_t f;
    for (f = 0; f < n; f++) {
        frame[f] = (float)((t * 37u + f * 11u) % 64u) / 4.0f;
    }
}

#ifndef FAKE_SWITCHED_OFF
/* codes: every code of the core has its code of esp_err.h. */
static void all_codes(void) {
    int s;
    for (s = 0; s < AETHER_STATUS_COUNT; s++) {
        printf("code %s %s\n", aether_status_name((aether_status)s), esp_err_to_name(ruv_error((aether_status)s)));
    }
    IS(ESP_ERR_INVALID_STATE, ruv_error(AETHER_STATUS_COUNT));
    IS(ESP_ERR_INVALID_STATE, ruv_error((aether_status)999));
}
#endif

/* interface BLOB FEATURES CLASSES: what the drop-in header promises. */
static void interface(uint32_t features, uint32_t classes) {
    ruv_temporal_ctx_t *ctx = (ruv_temporal_ctx_t *)blob, *mine = NULL;
    float *frame = calloc(features, sizeof(float)), *logits = calloc(classes, sizeof(float)), *other = calloc(classes, sizeof(float));
    ruv_temporal_info_t info;
    char text[200];
    size_t need = 0;
    void *memory;
    uint32_t t;
    int allocations;
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init(blob, blob_bytes, features, 256, classes, NULL));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init(NULL, blob_bytes, features, 256, classes, &ctx));
    MUST(ctx == NULL);
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init(blob, blob_bytes, features, 0, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes, features + 1, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes, 0, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes, features, 256, classes + 1, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes, features, 256, 0, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes - 1, features, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes + 1, features, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, 27, features, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, 0, features, 256, classes, &ctx));
    memmove(blob + 1, blob, blob_bytes);
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init(blob + 1, blob_bytes, features, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_explain(blob + 1, blob_bytes, features, 256, classes, text, sizeof text));
    MUST(strstr(text, "multiple of 4") != NULL);
    memmove(blob, blob + 1, blob_bytes);
    blob[0] ^= 1;
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init(blob, blob_bytes, features, 256, classes, &ctx));
    blob[0] ^= 1, blob[4] ^= 1;
    IS(ESP_ERR_INVALID_VERSION, ruv_temporal_init(blob, blob_bytes, features, 256, classes, &ctx));
    blob[4] ^= 1, blob[40] ^= 1;
    IS(ESP_ERR_INVALID_CRC, ruv_temporal_init(blob, blob_bytes, features, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_CRC, ruv_temporal_explain(blob, blob_bytes, 0, 256, 0, text, sizeof text));
    MUST(strstr(text, "CRC") != NULL && strstr(text, "found") != NULL);
    MUST(ctx == NULL);
    blob[40] ^= 1;
    IS(ESP_OK, ruv_temporal_explain(blob, blob_bytes, 0, 256, 0, text, 3));
    MUST(strcmp(text, "fi") == 0);
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_explain(blob, blob_bytes, features + 1, 256, 0, text, sizeof text));
    MUST(strstr(text, "input_dim") != NULL);
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_explain(blob, blob_bytes, 0, 256, 0, NULL, 4));
    MUST(fake_open() == 0);
    (void)fake_fail_allocation(1);
    IS(ESP_ERR_NO_MEM, ruv_temporal_init(blob, blob_bytes, features, 256, classes, &ctx));
    (void)fake_fail_allocation(0);

    IS(ESP_OK, ruv_temporal_init(blob, blob_bytes, features, 256, classes, &ctx));
    MUST(fake_open() == 1);
    allocations = fake_allocations();
    IS(ESP_ERR_INVALID_STATE, ruv_temporal_classify(ctx, logits, classes));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_classify(NULL, logits, classes));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_classify(ctx, NULL, classes));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_classify(ctx, logits, classes + 1));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_push(NULL, frame));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_push(ctx, NULL));
    IS(ESP_OK, ruv_temporal_memory(blob, blob_bytes, 0, 256, 0, &need));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_memory(blob, blob_bytes, 0, 256, 0, NULL));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_memory(blob, blob_bytes, features, 256, classes + 1, &need));
    memory = aligned_alloc(8, (need + 15) & ~(size_t)7);
    IS(ESP_ERR_NO_MEM, ruv_temporal_init_with_memory(blob, blob_bytes, 0, 256, 0, memory, need - 1, &mine));
    IS(ESP_ERR_NO_MEM, ruv_temporal_init_with_memory(blob, blob_bytes, 0, 256, 0, memory, 3, &mine));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init_with_memory(blob, blob_bytes, 0, 256, 0, NULL, need, &mine));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init_with_memory(blob, blob_bytes, 0, 256, 0, (char *)memory + 4, need, &mine));
    MUST(mine == NULL);
    IS(ESP_OK, ruv_temporal_init_with_memory(blob, blob_bytes, features, 256, classes, memory, need, &mine));
    IS(ESP_OK, ruv_temporal_info(mine, &info));
    MUST(info.input_dim == features && info.n_classes == classes && info.window_len == 256 && info.memory == need);
    for (t = 0; t < 300; t++) {
        frame_of(t, frame, features);
        IS(ESP_OK, ruv_temporal_push(ctx, frame));
        IS(ESP_OK, ruv_temporal_push(mine, frame));
        if (t % 50 == 7) {
            const uint32_t nan = 0x7FC00000u;
            memcpy(frame + features - 1, &nan, 4);
            IS(ESP_ERR_INVALID_ARG, ruv_temporal_push(ctx, frame));
        }
    }
    IS(ESP_OK, ruv_temporal_classify(ctx, logits, classes));
    IS(ESP_OK, ruv_temporal_classify(mine, other, classes));
    MUST(memcmp(logits, other, classes * sizeof(float)) == 0);
    printf("logits");
    for (t = 0; t < classes; t++) {
        uint32_t bits;
        memcpy(&bits, logits + t, 4);
        printf(" %08" PRIx32, bits);
    }
    printf("\n");
    if (info.embed_dim > 0) {
        float *embedding = calloc(info.embed_dim, sizeof(float));
        IS(ESP_ERR_INVALID_SIZE, ruv_temporal_embedding(ctx, embedding, info.embed_dim + 1));
        IS(ESP_OK, ruv_temporal_embedding(ctx, embedding, info.embed_dim));
        printf("embedding");
        for (t = 0; t < info.embed_dim; t++) {
            uint32_t bits;
            memcpy(&bits, embedding + t, 4);
            printf(" %08" PRIx32, bits);
        }
        printf("\n");
        free(embedding);
    } else {
        IS(ESP_ERR_NOT_FOUND, ruv_temporal_embedding(ctx, logits, 1));
    }
    printf("class %s\n", ruv_temporal_class_name(ctx, classes - 1) != NULL ? ruv_temporal_class_name(ctx, classes - 1) : "none");
    MUST(ruv_temporal_class_name(ctx, classes) == NULL && ruv_temporal_class_name(NULL, 0) == NULL);
    {
        const uint16_t layout = info.csi_pairs == 128 ? 0x11 : 0; /* an HT packet of 20 MHz, for a model that names subcarriers */
        int8_t *iq = calloc(2 * (size_t)info.csi_pairs + 2, 1);
        IS(ESP_ERR_INVALID_SIZE, ruv_temporal_csi_frame(ctx, iq, info.csi_pairs + 1, layout, false, frame));
        IS(ESP_ERR_INVALID_ARG, ruv_temporal_csi_frame(ctx, NULL, info.csi_pairs, layout, false, frame));
        for (t = 0; t < 2 * info.csi_pairs; t++) {
            iq[t] = (int8_t)(t * 29u);
        }
        IS(ESP_OK, ruv_temporal_csi_frame(ctx, iq, info.csi_pairs, layout, false, frame));
        printf("csi");
        for (t = 0; t < features; t++) {
            uint32_t bits;
            memcpy(&bits, frame + t, 4);
            printf(" %08" PRIx32, bits);
        }
        printf("\n");
        free(iq);
    }
    MUST(fake_allocations() == allocations); /* none since init */
    IS(ESP_OK, ruv_temporal_reset(ctx));
    IS(ESP_ERR_INVALID_STATE, ruv_temporal_classify(ctx, logits, classes));
    for (t = 0; t < 5; t++) {
        frame_of(t, frame, features);
        IS(ESP_OK, ruv_temporal_push_at(ctx, frame, 20000u * t));
    }
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_push_at(ctx, NULL, 0));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_info(NULL, &info));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_reset(NULL));
    ruv_temporal_destroy(mine);
    ruv_temporal_destroy(ctx);
    ruv_temporal_destroy(NULL);
    MUST(fake_open() == 0);
    free(memory), free(frame), free(logits), free(other);
}

/* zeros BLOB FEATURES CLASSES: compiled so that classifying before the first frame is no error. */
static void zeros(uint32_t features, uint32_t classes) {
    ruv_temporal_ctx_t *ctx = NULL;
    float *frame = calloc(features, sizeof(float)), *logits = calloc(classes, sizeof(float)), *empty = calloc(classes, sizeof(float));
    memset(logits, 0xA5, classes * sizeof(float));
    IS(ESP_OK, ruv_temporal_init(blob, blob_bytes, features, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_classify(ctx, logits, classes + 1));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_classify(ctx, NULL, classes));
    IS(ESP_OK, ruv_temporal_classify(ctx, logits, classes));
    MUST(memcmp(logits, empty, classes * sizeof(float)) == 0);
    frame_of(1, frame, features);
    IS(ESP_OK, ruv_temporal_push(ctx, frame));
    IS(ESP_OK, ruv_temporal_classify(ctx, logits, classes));
    MUST(memcmp(logits, empty, classes * sizeof(float)) != 0);
    IS(ESP_OK, ruv_temporal_reset(ctx));
    IS(ESP_OK, ruv_temporal_classify(ctx, logits, classes));
    MUST(memcmp(logits, empty, classes * sizeof(float)) == 0);
    ruv_temporal_destroy(ctx);
    free(frame), free(logits), free(empty);
}

static void self_test(void) {
    IS(ESP_OK, ruv_temporal_kernel_self_test());
    MUST(fake_open() == 0);
    (void)fake_fail_allocation(1);
    IS(ESP_ERR_NO_MEM, ruv_temporal_kernel_self_test());
    (void)fake_fail_allocation(0);
}

static temporal_task_config_t config_with(const char *host, int port, uint32_t period_ms) {
    temporal_task_config_t config = temporal_task_default_config();
    config.host = host;
    config.port = (uint16_t)port;
    config.period_ms = period_ms;
    return config;
}

/* start: prints the code of temporal_task_start with the given slots. */
static void start(void) {
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
static void rejections(void) {
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

static float *one_frame;
static uint32_t features;

static void need_frame(void) {
    temporal_task_stats_t stats;
    uint32_t pairs = 0;
    IS(ESP_ERR_INVALID_ARG, temporal_task_stats(NULL));
    IS(ESP_OK, temporal_task_stats(&stats));
    IS(ESP_ERR_INVALID_ARG, temporal_task_shape(NULL, &pairs));
    IS(ESP_OK, temporal_task_shape(&features, &pairs));
    one_frame = calloc(features, sizeof(float));
    IS(ESP_ERR_INVALID_SIZE, temporal_task_submit(one_frame, features + 1));
    IS(ESP_ERR_INVALID_ARG, temporal_task_submit(NULL, features));
}

/* A separate sender, like the Wi-Fi driver's task: it continues while the task is stopped and started. */
static int sending = 1;
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
static void cycle(int times) {
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

/* Waits until a count of the task has come to `least`. The time limit is for a task that hangs. */
#define WAIT_UNTIL(count, least)                                   \
    do {                                                           \
        temporal_task_stats_t now_;                                \
        int tries_ = 12000;                                        \
        IS(ESP_OK, temporal_task_stats(&now_));                    \
        while (now_.count < (least) && tries_-- > 0) {             \
            vTaskDelay(1);                                         \
            IS(ESP_OK, temporal_task_stats(&now_));                \
        }                                                          \
        MUST(now_.count >= (least) && "within two minutes");       \
    } while (0)

static void submit(uint32_t t) {
    frame_of(t, one_frame, features);
    IS(ESP_OK, temporal_task_submit(one_frame, features));
}

/* send PORT: frames, bad frames, a clock that jumps; the packets are for the test to read. The clock stands still between the
   jumps, so the number of packets does not depend on the speed of this computer. */
static void send_packets(int port) {
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
static void flood(void) {
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
static void csi(uint32_t expected_pairs) {
    const temporal_task_config_t config = config_with("", 5005, 10);
    temporal_task_stats_t stats;
    int8_t iq[1024] = {0};
    uint32_t t, pairs = 0;
    IS(ESP_ERR_INVALID_STATE, temporal_task_shape(&features, &pairs));
    IS(ESP_ERR_INVALID_STATE, temporal_task_submit_csi(iq, 5, 0, false, 0));
    IS(ESP_OK, temporal_task_start(&config));
    IS(ESP_ERR_INVALID_ARG, temporal_task_shape(&features, NULL));
    IS(ESP_OK, temporal_task_shape(&features, &pairs));
    MUST(pairs == expected_pairs);
    IS(ESP_ERR_INVALID_SIZE, temporal_task_submit_csi(iq, pairs + 1, 0, false, 0xFFFE0000u));
    IS(ESP_ERR_INVALID_ARG, temporal_task_submit_csi(NULL, pairs, 0, false, 0));
    for (t = 0; t < 100; t++) {
        uint32_t i;
        for (i = 0; i < 2 * pairs; i++) {
            iq[i] = (int8_t)(t * 3u + i);
        }
        IS(ESP_OK, temporal_task_submit_csi(iq, pairs, 0, t % 2 != 0, 0xFFFF0000u + t * 20000u));
        WAIT_UNTIL(frames, t + 1);
    }
    WAIT_UNTIL(classifications, 1);
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.frames == 100 && stats.wrong_shape == 1 && stats.rejected == 0 && stats.clock_jumps == 0);
    MUST(stats.restarts <= 1); /* the first frame begins the blob's grid */
    IS(ESP_OK, temporal_task_submit_csi(iq, pairs, 0, false, 5)); /* the driver's counter goes back */
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.clock_jumps == 1);
    IS(ESP_OK, temporal_task_stop());
    MUST(fake_open() == 0);
}

/* state PACKET: one feature-state packet, to a blob with nine features. */
static void state(const char *path) {
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
static void wrong_shape(const char *path) {
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
    IS(ESP_ERR_INVALID_SIZE, temporal_task_submit_csi((const int8_t *)packet, 30, 0, false, 0));
    IS(ESP_OK, temporal_task_submit(frame, 2));
    WAIT_UNTIL(frames, 1);
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.wrong_shape == 3 && stats.frames == 1 && stats.dropped == 0 && stats.rejected == 0);
    IS(ESP_OK, temporal_task_stop());
}

/* It needs more memory than a small model, and runs once. */
static void pass_self_test(void) {
    const temporal_task_config_t config = config_with("not an address", 5005, 20);
    IS(ESP_ERR_INVALID_ARG, temporal_task_start(&config));
}

static int confirmed(unsigned slot) {
    return memcmp(fake_flash[slot] + 0x80, "CONF", 4) == 0;
}

/* Frames until the model is confirmed, or has predicted. */
static void predict(void) {
    temporal_task_stats_t stats;
    uint32_t t = 0;
    int tries = 12000;
    do {
        submit(t++);
        WAIT_UNTIL(frames, t);
        IS(ESP_OK, temporal_task_stats(&stats));
        vTaskDelay(stats.classifications == 0);
    } while ((stats.on_trial || stats.classifications == 0) && tries-- > 0);
    MUST(!stats.on_trial && stats.classifications > 0);
}

static void need_features(void) {
    uint32_t pairs;
    free(one_frame);
    IS(ESP_OK, temporal_task_shape(&features, &pairs));
    one_frame = calloc(features, sizeof(float));
}

/* Starts, predicts and stops. 0: the start failed, and nothing was left behind. */
static int predicts(const temporal_task_config_t *config) {
    if (temporal_task_start(config) != ESP_OK) {
        MUST(fake_open() == 0);
        return 0;
    }
    need_features();
    predict();
    IS(ESP_OK, temporal_task_stop());
    MUST(fake_open() == 0);
    return 1;
}

/* faults: slot a holds a confirmed model, slot b a newer one. Each allocation and each call of the flash fails in turn, from the first
   start to the last write of a flag: the node has a model at this start or the next one, and ends with the newer one. */
static void faults(void) {
    static unsigned char before[2][FAKE_SLOT_BYTES];
    const temporal_task_config_t config = config_with("", 5005, 20);
    int (*const fail[2])(int) = {fake_fail_allocation, fake_fail_flash};
    int kind, counts[2];
    memcpy(before, fake_flash, sizeof before);
    for (kind = 0; kind < 2; kind++) {
        int ahead, came = 1;
        for (ahead = 1; came; ahead++) {
            memcpy(fake_flash, before, sizeof before);
            (void)fail[kind](ahead);
            if (!predicts(&config)) {
                MUST(predicts(&config));
            }
            came = fail[kind](0) == 0;
            MUST(predicts(&config));
            MUST(confirmed(0) || confirmed(1));
            MUST(predicts(&config) && confirmed(1));
        }
        counts[kind] = ahead - 2;
    }
    printf("allocations %d, calls of the flash %d\n", counts[0], counts[1]);
    MUST(counts[0] >= 4 && counts[1] >= 8);
}

/* heap BYTES: as faults, with memory for the old model only. The node runs that, at every start; and at none has it less than a model. */
static void small_heap(size_t bytes) {
    const temporal_task_config_t config = config_with("", 5005, 20);
    int i;
    pass_self_test();
    fake_heap(bytes);
    for (i = 0; i < 6; i++) {
        IS(ESP_OK, temporal_task_start(&config));
        need_features();
        predict();
        IS(ESP_OK, temporal_task_stop());
        MUST(!confirmed(1));
    }
}

/* no-frames N: starts without a frame, then predictions. */
static void no_frames(int times) {
    const temporal_task_config_t config = config_with("", 5005, 20);
    temporal_task_stats_t stats;
    int i;
    for (i = 0; i < times; i++) {
        IS(ESP_OK, temporal_task_start(&config));
        IS(ESP_OK, temporal_task_stats(&stats));
        MUST(stats.on_trial);
        IS(ESP_OK, temporal_task_stop());
    }
    MUST(predicts(&config));
}

/* memory BLOB: what a start allocates is what temporal_task_memory says. */
static void memory(const char *path) {
    temporal_task_config_t config = config_with("", 5005, 1000);
    temporal_task_stats_t stats;
    size_t bytes = 0;
    load_blob(path);
    IS(ESP_ERR_INVALID_ARG, temporal_task_memory(&config, blob, blob_bytes, NULL));
    IS(ESP_ERR_INVALID_SIZE, temporal_task_memory(&config, blob, 27, &bytes));
    IS(ESP_OK, temporal_task_memory(&config, blob, blob_bytes, &bytes));
    config.weights = blob;
    config.weights_len = blob_bytes;
    pass_self_test();
    fake_heap(bytes - 1);
    IS(ESP_ERR_NO_MEM, temporal_task_start(&config));
    fake_heap(bytes);
    IS(ESP_OK, temporal_task_start(&config));
    IS(ESP_OK, temporal_task_stats(&stats));
    MUST(stats.memory == bytes && !stats.on_trial);
    printf("memory %zu\n", bytes);
    IS(ESP_OK, temporal_task_stop());
}

/* The task writes the flag *ran* by itself, shortly after the start. */
static void wait_for_ran(unsigned slot) {
    int tries = 12000;
    while (memcmp(fake_flash[slot] + 0x90, "RAN!", 4) != 0 && tries-- > 0) {
        vTaskDelay(1);
    }
    MUST(memcmp(fake_flash[slot] + 0x90, "RAN!", 4) == 0);
}

/* update IMAGE: a packed image comes in pieces while the task runs; the next start uses it. */
static void update(const char *path) {
    const temporal_task_config_t config = config_with("", 5005, 1000);
    static unsigned char image[FAKE_SLOT_BYTES + 1], before[FAKE_SLOT_BYTES];
    const size_t bytes = load(path, image, sizeof image);
    size_t at;
    memcpy(before, fake_flash[0], sizeof before);
    IS(ESP_ERR_INVALID_STATE, temporal_update_write(image, 1));
    IS(ESP_ERR_INVALID_STATE, temporal_update_finish());
    IS(ESP_OK, temporal_task_start(&config));
    wait_for_ran(0);
    memcpy(before, fake_flash[0], sizeof before);
    IS(ESP_OK, temporal_update_begin());
    IS(ESP_ERR_INVALID_ARG, temporal_update_write(NULL, 1));
    IS(ESP_OK, temporal_update_write(image, 100));
    IS(ESP_ERR_INVALID_STATE, temporal_update_finish()); /* cut */
    IS(ESP_OK, temporal_update_begin());
    image[0x14] ^= 1;
    IS(ESP_ERR_INVALID_CRC, temporal_update_write(image, 64));
    IS(ESP_ERR_INVALID_STATE, temporal_update_write(image, 64));
    image[0x14] ^= 1;
    IS(ESP_OK, temporal_update_begin());
    for (at = 0; at < bytes; at += 1460) {
        IS(ESP_OK, temporal_update_write(image + at, bytes - at < 1460 ? bytes - at : 1460));
    }
    IS(ESP_OK, temporal_update_finish());
    MUST(memcmp(before, fake_flash[0], sizeof before) == 0); /* what is in use was not touched */
    IS(ESP_OK, temporal_update_begin());
    IS(ESP_OK, temporal_task_stop());
    IS(ESP_OK, temporal_task_start(&config)); /* on the other slot now */
    wait_for_ran(1);
    memcpy(before, fake_flash[1], sizeof before);
    IS(ESP_OK, temporal_update_write(image, 100));
    MUST(memcmp(before, fake_flash[1], sizeof before) == 0);
    IS(ESP_OK, temporal_task_stop());
    MUST(fake_open() == 0);
    fake_flash_there(0, false);
    fake_flash_there(1, false);
    IS(ESP_ERR_NOT_FOUND, temporal_update_begin());
}

static unsigned char update_image[FAKE_SLOT_BYTES + 1];
static size_t update_bytes;

static void *update_for_ever(void *user) {
    while (__atomic_load_n(&sending, __ATOMIC_SEQ_CST)) {
        size_t at;
        IS(ESP_OK, temporal_update_begin());
        for (at = 0; at < update_bytes; at += 48) { /* the header comes in two pieces */
            IS(ESP_OK, temporal_update_write(update_image + at, update_bytes - at < 48 ? update_bytes - at : 48));
        }
        IS(ESP_OK, temporal_update_finish());
    }
    return user;
}

/* update-cycle N IMAGE: another task updates, again and again, while this one starts and stops. */
static void update_cycle(int times, const char *path) {
    const temporal_task_config_t config = config_with("", 5005, 1);
    pthread_t updater;
    int i;
    update_bytes = load(path, update_image, sizeof update_image);
    IS(ESP_OK, temporal_task_start(&config));
    IS(ESP_OK, temporal_task_stop());
    MUST(pthread_create(&updater, NULL, update_for_ever, NULL) == 0);
    for (i = 0; i < times; i++) {
        IS(ESP_OK, temporal_task_start(&config)); /* there is always one that works */
        IS(ESP_OK, temporal_task_stop());
    }
    __atomic_store_n(&sending, 0, __ATOMIC_SEQ_CST);
    pthread_join(updater, NULL);
    MUST(fake_open() == 0);
}

/* off: the Kconfig switch. */
static void off(void) {
    ruv_temporal_ctx_t *ctx = (ruv_temporal_ctx_t *)blob_memory;
    ruv_temporal_info_t info;
    temporal_task_stats_t stats;
    float x[4] = {0};
    size_t bytes = 0;
    uint32_t pairs = 0;
    char text[8];
    const uint8_t b[4] = {0};
    const int8_t iq[2] = {0};
    temporal_task_config_t config = temporal_task_default_config();
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_init(b, 4, 1, 1, 2, &ctx));
    MUST(ctx == NULL);
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_push(ctx, x));
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_classify(ctx, x, 4));
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_kernel_self_test());
    ruv_temporal_destroy(ctx);
    ruv_temporal_destroy((ruv_temporal_ctx_t *)blob_memory);
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_memory(b, 4, 1, 1, 2, &bytes));
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_init_with_memory(b, 4, 1, 1, 2, blob_memory, 8, &ctx));
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_explain(b, 4, 1, 1, 2, text, sizeof text));
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_info(ctx, &info));
    MUST(ruv_temporal_class_name(ctx, 0) == NULL);
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_push_at(ctx, x, 0));
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_csi_frame(ctx, iq, 1, 0, false, x));
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_embedding(ctx, x, 1));
    IS(ESP_ERR_NOT_SUPPORTED, ruv_temporal_reset(ctx));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_start(&config));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_stop());
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_submit(x, 4));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_submit_csi(iq, 1, 0, false, 0));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_submit_state(b, 4));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_shape(&pairs, &pairs));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_memory(&config, b, 4, &bytes));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_stats(&stats));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_update_begin());
    IS(ESP_ERR_NOT_SUPPORTED, temporal_update_write(b, 4));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_update_finish());
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "off") == 0) {
        off();
#ifndef FAKE_SWITCHED_OFF
    } else if (strcmp(what, "codes") == 0) {
        all_codes();
#endif
    } else if (strcmp(what, "interface") == 0 && argc == 5) {
        load_blob(argv[2]);
        interface((uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
    } else if (strcmp(what, "zeros") == 0 && argc == 5) {
        load_blob(argv[2]);
        zeros((uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
    } else if (strcmp(what, "self-test") == 0) {
        self_test();
    } else if (strcmp(what, "memory") == 0 && argc == 3) {
        memory(argv[2]);
    } else if (argc >= 4) { /* the rest: slot a, slot b, then what it takes */
        load_slot(0, argv[2]);
        load_slot(1, argv[3]);
        fake_flash_there(1, strcmp(argv[3], "-none") != 0);
        if (strcmp(what, "start") == 0) {
            start();
        } else if (strcmp(what, "rejections") == 0) {
            rejections();
        } else if (strcmp(what, "faults") == 0) {
            faults();
        } else if (strcmp(what, "no-frames") == 0 && argc == 5) {
            no_frames(atoi(argv[4]));
        } else if (strcmp(what, "heap") == 0 && argc == 5) {
            small_heap((size_t)atoi(argv[4]));
        } else if (strcmp(what, "cycle") == 0 && argc == 5) {
            cycle(atoi(argv[4]));
        } else if (strcmp(what, "send") == 0 && argc == 5) {
            send_packets(atoi(argv[4]));
        } else if (strcmp(what, "flood") == 0) {
            flood();
        } else if (strcmp(what, "csi") == 0 && argc == 5) {
            csi((uint32_t)atoi(argv[4]));
        } else if (strcmp(what, "update-cycle") == 0 && argc == 6) {
            update_cycle(atoi(argv[4]), argv[5]);
        } else if (strcmp(what, "update") == 0 && argc == 5) {
            update(argv[4]);
        } else if (strcmp(what, "state") == 0 && argc == 5) {
            state(argv[4]);
        } else if (strcmp(what, "other-shape") == 0 && argc == 5) {
            wrong_shape(argv[4]);
        } else {
            MUST(!"known");
        }
    } else {
        MUST(!"known");
    }
    free(one_frame);
    printf("ok %s\n", what);
    return 0;
}
