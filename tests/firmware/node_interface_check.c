/* The drop-in interface on a computer, as node firmware calls it, and the same switched off. */
#include <inttypes.h>
#include <string.h>

#include "node_component_check.h"
#ifndef FAKE_SWITCHED_OFF
#include "context.h"
#endif

#ifndef FAKE_SWITCHED_OFF
/* codes: every code of the core has its code of esp_err.h. */
void check_all_codes(void) {
    int s;
    for (s = 0; s < AETHER_STATUS_COUNT; s++) {
        printf("code %s %s\n", aether_status_name((aether_status)s), esp_err_to_name(ruv_error((aether_status)s)));
    }
    IS(ESP_ERR_INVALID_STATE, ruv_error(AETHER_STATUS_COUNT));
    IS(ESP_ERR_INVALID_STATE, ruv_error((aether_status)999));
}
#endif

/* interface BLOB FEATURES CLASSES: what the drop-in header promises. */
void check_interface(uint32_t input_dim, uint32_t classes) {
    ruv_temporal_ctx_t *ctx = (ruv_temporal_ctx_t *)blob, *mine = NULL;
    float *frame = calloc(input_dim, sizeof(float)), *logits = calloc(classes, sizeof(float)), *other = calloc(classes, sizeof(float));
    ruv_temporal_info_t info;
    char text[200];
    size_t need = 0;
    void *memory;
    uint32_t t;
    int allocations;
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init(blob, blob_bytes, input_dim, 256, classes, NULL));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init(NULL, blob_bytes, input_dim, 256, classes, &ctx));
    MUST(ctx == NULL);
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init(blob, blob_bytes, input_dim, 0, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes, input_dim + 1, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes, 0, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes, input_dim, 256, classes + 1, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes, input_dim, 256, 0, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes - 1, input_dim, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, blob_bytes + 1, input_dim, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, 27, input_dim, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_init(blob, 0, input_dim, 256, classes, &ctx));
    memmove(blob + 1, blob, blob_bytes);
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init(blob + 1, blob_bytes, input_dim, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_explain(blob + 1, blob_bytes, input_dim, 256, classes, text, sizeof text));
    MUST(strstr(text, "multiple of 4") != NULL);
    memmove(blob, blob + 1, blob_bytes);
    blob[0] ^= 1;
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init(blob, blob_bytes, input_dim, 256, classes, &ctx));
    blob[0] ^= 1, blob[4] ^= 1;
    IS(ESP_ERR_INVALID_VERSION, ruv_temporal_init(blob, blob_bytes, input_dim, 256, classes, &ctx));
    blob[4] ^= 1, blob[40] ^= 1;
    IS(ESP_ERR_INVALID_CRC, ruv_temporal_init(blob, blob_bytes, input_dim, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_CRC, ruv_temporal_explain(blob, blob_bytes, 0, 256, 0, text, sizeof text));
    MUST(strstr(text, "CRC") != NULL && strstr(text, "found") != NULL);
    MUST(ctx == NULL);
    blob[40] ^= 1;
    IS(ESP_OK, ruv_temporal_explain(blob, blob_bytes, 0, 256, 0, text, 3));
    MUST(strcmp(text, "fi") == 0);
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_explain(blob, blob_bytes, input_dim + 1, 256, 0, text, sizeof text));
    MUST(strstr(text, "input_dim") != NULL);
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_explain(blob, blob_bytes, 0, 256, 0, NULL, 4));
    MUST(fake_open() == 0);
    (void)fake_fail_allocation(1);
    IS(ESP_ERR_NO_MEM, ruv_temporal_init(blob, blob_bytes, input_dim, 256, classes, &ctx));
    (void)fake_fail_allocation(0);

    IS(ESP_OK, ruv_temporal_init(blob, blob_bytes, input_dim, 256, classes, &ctx));
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
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_memory(blob, blob_bytes, input_dim, 256, classes + 1, &need));
    memory = aligned_alloc(8, (need + 15) & ~(size_t)7);
    IS(ESP_ERR_NO_MEM, ruv_temporal_init_with_memory(blob, blob_bytes, 0, 256, 0, memory, need - 1, &mine));
    IS(ESP_ERR_NO_MEM, ruv_temporal_init_with_memory(blob, blob_bytes, 0, 256, 0, memory, 3, &mine));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init_with_memory(blob, blob_bytes, 0, 256, 0, NULL, need, &mine));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_init_with_memory(blob, blob_bytes, 0, 256, 0, (char *)memory + 4, need, &mine));
    MUST(mine == NULL);
    IS(ESP_OK, ruv_temporal_init_with_memory(blob, blob_bytes, input_dim, 256, classes, memory, need, &mine));
    IS(ESP_OK, ruv_temporal_info(mine, &info));
    MUST(info.input_dim == input_dim && info.n_classes == classes && info.window_len == 256 && info.memory == need);
    for (t = 0; t < 300; t++) {
        frame_of(t, frame, input_dim);
        IS(ESP_OK, ruv_temporal_push(ctx, frame));
        IS(ESP_OK, ruv_temporal_push(mine, frame));
        if (t % 50 == 7) {
            const uint32_t nan = 0x7FC00000u;
            memcpy(frame + input_dim - 1, &nan, 4);
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
        for (t = 0; t < input_dim; t++) {
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
        frame_of(t, frame, input_dim);
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
void check_zeros(uint32_t input_dim, uint32_t classes) {
    ruv_temporal_ctx_t *ctx = NULL;
    float *frame = calloc(input_dim, sizeof(float)), *logits = calloc(classes, sizeof(float)), *empty = calloc(classes, sizeof(float));
    memset(logits, 0xA5, classes * sizeof(float));
    IS(ESP_OK, ruv_temporal_init(blob, blob_bytes, input_dim, 256, classes, &ctx));
    IS(ESP_ERR_INVALID_SIZE, ruv_temporal_classify(ctx, logits, classes + 1));
    IS(ESP_ERR_INVALID_ARG, ruv_temporal_classify(ctx, NULL, classes));
    IS(ESP_OK, ruv_temporal_classify(ctx, logits, classes));
    MUST(memcmp(logits, empty, classes * sizeof(float)) == 0);
    frame_of(1, frame, input_dim);
    IS(ESP_OK, ruv_temporal_push(ctx, frame));
    IS(ESP_OK, ruv_temporal_classify(ctx, logits, classes));
    MUST(memcmp(logits, empty, classes * sizeof(float)) != 0);
    IS(ESP_OK, ruv_temporal_reset(ctx));
    IS(ESP_OK, ruv_temporal_classify(ctx, logits, classes));
    MUST(memcmp(logits, empty, classes * sizeof(float)) == 0);
    ruv_temporal_destroy(ctx);
    free(frame), free(logits), free(empty);
}

void check_self_test(void) {
    IS(ESP_OK, ruv_temporal_kernel_self_test());
    MUST(fake_open() == 0);
    (void)fake_fail_allocation(1);
    IS(ESP_ERR_NO_MEM, ruv_temporal_kernel_self_test());
    (void)fake_fail_allocation(0);
}

/* off: the Kconfig switch. */
void check_off(void) {
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
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_submit_csi(iq, 1, 0, false, 0, 0));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_submit_state(b, 4));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_shape(&pairs, &pairs));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_memory(&config, b, 4, &bytes));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_stats(&stats));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_calibrate());
    IS(ESP_ERR_NOT_SUPPORTED, temporal_task_uncalibrate());
    IS(ESP_ERR_NOT_SUPPORTED, temporal_update_begin());
    IS(ESP_ERR_NOT_SUPPORTED, temporal_update_write(b, 4));
    IS(ESP_ERR_NOT_SUPPORTED, temporal_update_finish());
}
