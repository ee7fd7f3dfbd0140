/* The component on a computer: the drop-in interface and the task, as node firmware calls them. What to do is the first argument; blobs and
   slot images are files. Prints `ok NAME` at the end, or what failed. */
#include "node_component_check.h"

#include <string.h>

uint8_t *blob;
size_t blob_bytes;
uint64_t blob_memory[1 << 14];
float *one_frame;
uint32_t features;
int sending = 1;

int is(esp_err_t expected, esp_err_t got, int line) {
    if (expected != got) {
        printf("line %d: expected %s, got %s\n", line, esp_err_to_name(expected), esp_err_to_name(got));
        exit(1);
    }
    return 1;
}

size_t load(const char *path, void *to, size_t capacity) {
    FILE *file = fopen(path, "rb");
    size_t bytes;
    MUST(file != NULL);
    bytes = fread(to, 1, capacity, file);
    fclose(file);
    MUST(bytes < capacity);
    return bytes;
}

void load_blob(const char *path) {
    blob = (uint8_t *)blob_memory;
    blob_bytes = load(path, blob, sizeof blob_memory);
}

void load_slot(unsigned slot, const char *path) {
    memset(fake_flash[slot], 0xFF, FAKE_SLOT_BYTES);
    if (path[0] != '-') {
        (void)load(path, fake_flash[slot], FAKE_SLOT_BYTES);
    }
}

void frame_of(uint32_t t, float *frame, uint32_t n) {
    uint32_t f;
    for (f = 0; f < n; f++) {
        frame[f] = (float)((t * 37u + f * 11u) % 64u) / 4.0f;
    }
}

temporal_task_config_t config_with(const char *host, int port, uint32_t period_ms) {
    temporal_task_config_t config = temporal_task_default_config();
    config.host = host;
    config.port = (uint16_t)port;
    config.period_ms = period_ms;
    return config;
}

void need_frame(void) {
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

void submit(uint32_t t) {
    frame_of(t, one_frame, features);
    IS(ESP_OK, temporal_task_submit(one_frame, features));
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "off") == 0) {
        check_off();
#ifndef FAKE_SWITCHED_OFF
    } else if (strcmp(what, "codes") == 0) {
        check_all_codes();
#endif
    } else if (strcmp(what, "interface") == 0 && argc == 5) {
        load_blob(argv[2]);
        check_interface((uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
    } else if (strcmp(what, "zeros") == 0 && argc == 5) {
        load_blob(argv[2]);
        check_zeros((uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
    } else if (strcmp(what, "self-test") == 0) {
        check_self_test();
    } else if (strcmp(what, "memory") == 0 && argc == 3) {
        check_memory(argv[2]);
    } else if (argc >= 4) { /* the rest: slot a, slot b, then what it takes */
        load_slot(0, argv[2]);
        load_slot(1, argv[3]);
        fake_flash_there(1, strcmp(argv[3], "-none") != 0);
        if (strcmp(what, "start") == 0) {
            check_start();
        } else if (strcmp(what, "rejections") == 0) {
            check_rejections();
        } else if (strcmp(what, "faults") == 0) {
            check_faults();
        } else if (strcmp(what, "no-frames") == 0 && argc == 5) {
            check_no_frames(atoi(argv[4]));
        } else if (strcmp(what, "heap") == 0 && argc == 5) {
            check_small_heap((size_t)atoi(argv[4]));
#ifndef FAKE_SWITCHED_OFF
        } else if (strcmp(what, "calibration") == 0) {
            check_calibration();
        } else if (strcmp(what, "other-calibration") == 0 && argc == 5) {
            check_other_calibration(argv[2], argv[3], argv[4]);
#endif
        } else if (strcmp(what, "cycle") == 0 && argc == 5) {
            check_cycle(atoi(argv[4]));
        } else if (strcmp(what, "send") == 0 && argc == 5) {
            check_send_packets(atoi(argv[4]));
        } else if (strcmp(what, "flood") == 0) {
            check_flood();
        } else if (strcmp(what, "csi") == 0 && argc == 5) {
            check_csi((uint32_t)atoi(argv[4]));
        } else if (strcmp(what, "update-cycle") == 0 && argc == 6) {
            check_update_cycle(atoi(argv[4]), argv[5]);
        } else if (strcmp(what, "update") == 0 && argc == 5) {
            check_update(argv[4]);
        } else if (strcmp(what, "state") == 0 && argc == 5) {
            check_state(argv[4]);
        } else if (strcmp(what, "other-shape") == 0 && argc == 5) {
            check_wrong_shape(argv[4]);
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
