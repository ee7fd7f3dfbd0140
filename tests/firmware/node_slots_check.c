/* Slots on a computer: trials, faults of memory and flash, updates while the task runs. */
#include <pthread.h>
#include <string.h>

#include "node_component_check.h"

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
void check_faults(void) {
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
void check_small_heap(size_t bytes) {
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
void check_no_frames(int times) {
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
void check_memory(const char *path) {
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
void check_update(const char *path) {
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
void check_update_cycle(int times, const char *path) {
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
