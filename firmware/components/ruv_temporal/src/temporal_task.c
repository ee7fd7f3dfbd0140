/* A FreeRTOS task around node.h. */
#include "temporal_task.h"

#include <inttypes.h>
#include <string.h>

#include "context.h"
#include "counter.h"
#include "csi_input.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "node.h"
#include "nvs.h"
#include "opening.h"
#include "ruv_temporal.h"
#include "sdkconfig.h"
#include "text.h"
#include "trial.h"
#include "ruv_udp.h"

#ifdef CONFIG_RUV_TEMPORAL_CORE
#define CORE CONFIG_RUV_TEMPORAL_CORE
#else
#define CORE 0
#endif

#define FIGURES_US ((uint64_t)CONFIG_RUV_TEMPORAL_LOG_SECONDS * 1000000u)

static const char TAG[] = "temporal_task";

typedef struct temporal {
    node node;
    ruv_opened opened;
    ruv_udp udp;
    aether_clock clock; /* owned by the submitting side, like the next field */
    uint32_t clock_jumps;
    node_cadence figures;
    TaskHandle_t task;
    uint32_t sent, send_errors;
    node_trial trial; /* owned by the task, once it goes */
    uint64_t period;  /* microseconds between predictions */
    uint32_t worst_us;
    uint32_t late;    /* steps that took more than a period */
    uint32_t on_trial;
    int write_failed; /* and the log says so */
    int asked;        /* MEASURE or FORGET, for the task */
    uint32_t logged;    /* the node_calibration_state that the log has */
    int go;           /* the node is open: the task may use it */
    int stop;         /* request to end the task */
    int finished;     /* the task has ended */
    size_t memory;
#ifdef CONFIG_RUV_TEMPORAL_RECEIPTS
    node_receipts receipts;
#endif
} temporal;

/* The running task. A sender sets `inside` before it reads `running`; stop clears `running` before it reads `inside`. Both are
   sequentially consistent, so either the sender sees NULL or stop sees the sender. */
static temporal *running;
static int inside;
static bool self_test_passed; /* since boot */
static int slots_taken;

static uint64_t now_us(void) {
    return (uint64_t)esp_timer_get_time();
}

static temporal *enter(void) {
    temporal *t;
    __atomic_store_n(&inside, 1, __ATOMIC_SEQ_CST);
    t = __atomic_load_n(&running, __ATOMIC_SEQ_CST);
    if (t == NULL) {
        __atomic_store_n(&inside, 0, __ATOMIC_SEQ_CST);
    }
    return t;
}

static esp_err_t leave(temporal *t, node_offered what) {
    if (what == NODE_QUEUED) {
        (void)xTaskNotifyGive(t->task);
    }
    __atomic_store_n(&inside, 0, __ATOMIC_SEQ_CST);
    return what == NODE_QUEUED ? ESP_OK : what == NODE_DROPPED ? ESP_ERR_NO_MEM : ESP_ERR_INVALID_SIZE;
}

/* The task's side. */

static void read_stats(const temporal *t, temporal_task_stats_t *stats) {
    stats->frames = node_counter_get(&t->node.counts.frames);
    stats->dropped = node_queue_dropped(&t->node.queue);
    stats->rejected = node_counter_get(&t->node.counts.rejected);
    stats->wrong_shape = node_counter_get(&t->node.counts.wrong_shape);
    stats->restarts = node_counter_get(&t->node.counts.restarts);
    stats->classifications = node_counter_get(&t->node.counts.classifications);
    stats->idle = node_counter_get(&t->node.counts.idle);
    stats->sent = node_counter_get(&t->sent);
    stats->send_errors = node_counter_get(&t->send_errors);
    stats->clock_jumps = node_counter_get(&t->node.cadence.jumps) + node_counter_get(&t->clock_jumps);
    stats->longest_queue = node_counter_get(&t->node.queue.longest);
    stats->worst_frame_us = node_counter_get(&t->worst_us);
    stats->stack_left = (uint32_t)uxTaskGetStackHighWaterMark(t->task);
    stats->memory = t->memory;
    stats->on_trial = node_counter_get(&t->on_trial);
    stats->calibration = node_counter_get(&t->node.calibration.state);
    stats->threshold = node_calibration_threshold(&t->node.calibration);
}

static void log_figures(const temporal *t) {
    temporal_task_stats_t s;
    read_stats(t, &s);
    ESP_LOGI(TAG,
             "frames %" PRIu32 ", dropped %" PRIu32 ", rejected %" PRIu32 ", wrong shape %" PRIu32 ", restarts %" PRIu32
             ", predictions %" PRIu32 ", idle %" PRIu32 ", sent %" PRIu32 ", lost %" PRIu32
             "; worst frame %" PRIu32 " us, stack never used %" PRIu32 " of %u bytes%s",
             s.frames, s.dropped, s.rejected, s.wrong_shape, s.restarts, s.classifications, s.idle, s.sent, s.send_errors,
             s.worst_frame_us, s.stack_left, (unsigned)CONFIG_RUV_TEMPORAL_STACK,
             s.on_trial ? "; the model is on trial" : "");
}

static int work(temporal *t) {
    const uint64_t began = now_us();
    const int worked = node_work(&t->node);
    if (worked) {
        const uint64_t ended = now_us();
        const uint64_t took = ended > began ? ended - began : 0;
        if (took > t->worst_us) {
            node_counter_set(&t->worst_us, took < UINT32_MAX ? (uint32_t)took : UINT32_MAX);
        }
        t->late += took > t->period;
    }
    return worked;
}

static void send_prediction(temporal *t) {
    const uint64_t now = now_us();
    unsigned char packet[NODE_CLASS_BYTES];
    if (node_classify(&t->node, now, packet)) {
        if (t->udp.socket < 0) {
            const node_prediction a = node_calibration_predict(&t->node.calibration, aether_stream_logits(&t->node.classifier->stream),
                                                        t->node.classifier->model.header.n_classes);
            char name[NODE_TEXT_BYTES];
            (void)node_text(node_classifier_class_name(t->node.classifier, a.argmax), SIZE_MAX, name, sizeof name);
            ESP_LOGI(TAG, "class %" PRIu32 " %s, margin %.3f", a.argmax, name, (double)a.margin);
        } else if (ruv_udp_send(&t->udp, packet, sizeof packet)) {
            node_counter_add(&t->sent, 1);
        } else {
            node_counter_add(&t->send_errors, 1);
        }
    }
    if (node_cadence_due(&t->figures, now)) {
        log_figures(t);
    }
}

static void send_receipt(temporal *t) {
#ifdef CONFIG_RUV_TEMPORAL_RECEIPTS
    const size_t bytes = node_receipts_due(&t->receipts, now_us());
    if (bytes > 0 && t->udp.socket >= 0) {
        node_counter_add(ruv_udp_send(&t->udp, t->receipts.packet, bytes) ? &t->sent : &t->send_errors, 1);
    }
#else
    (void)t;
#endif
}

/* The check once more, on this task's stack: then starts without frames cost no trials. */
static void begin_trial(temporal *t) {
    if (node_trial_open(&t->trial)) {
        if (ruv_check_again(&t->opened)) {
            node_trial_ran(&t->trial);
        } else {
            ESP_LOGE(TAG, "the model computes other bits in the task than at the start");
        }
    }
}

/* The flags of a trial are written with every frame until the flash takes them. */
static void expect_written(temporal *t, int written) {
    if (!written && !t->write_failed) {
        t->write_failed = 1;
        ESP_LOGE(TAG, "the flash does not take the flags of the trial: they are written again with every frame");
    }
}

static void end_trial(temporal *t) {
    const int passed = node_trial_passed(&t->trial, &t->node, t->late);
    expect_written(t, passed >= 0);
    if (passed > 0) {
        node_counter_set(&t->on_trial, 0);
        ESP_LOGI(TAG, "the new model is confirmed: worst frame %" PRIu32 " us", t->worst_us);
    }
}

/* A room's threshold in NVS, with the CRC of the blob that it is for: the last four bytes of the blob. */

#define MEASURE 1
#define FORGET 2
#define KEY "calibration"

static uint32_t crc_of(const temporal *t) {
    const aether_model *model = &t->node.classifier->model;
    uint32_t crc;
    memcpy(&crc, model->blob + model->blob_bytes - sizeof crc, sizeof crc);
    return crc;
}

static esp_err_t open_storage(nvs_open_mode_t mode, nvs_handle_t *storage) {
    return nvs_open("aether", mode, storage);
}

/* What receives the receipts computes every prediction again, and knows no threshold but the model's. */
#ifdef CONFIG_RUV_TEMPORAL_RECEIPTS
#define CALIBRATES 0
#else
#define CALIBRATES 1
#endif

static void load_threshold(temporal *t) {
    nvs_handle_t storage;
    uint64_t stored = 0;
    const uint32_t crc = crc_of(t);
    if (!CALIBRATES || node_calibration_fits(&t->node.classifier->model, NULL) != AETHER_OK ||
        open_storage(NVS_READONLY, &storage) != ESP_OK) {
        return;
    }
    if (nvs_get_u64(storage, KEY, &stored) == ESP_OK && (uint32_t)(stored >> 32) == crc) {
        node_counter_set(&t->node.calibration.threshold, (uint32_t)stored);
        ESP_LOGI(TAG, "the room's threshold is %+.4f", (double)node_calibration_threshold(&t->node.calibration));
    }
    nvs_close(storage);
}

/* forget: removes what is stored. */
static esp_err_t store_threshold(const temporal *t, int forget) {
    nvs_handle_t storage;
    esp_err_t error = open_storage(NVS_READWRITE, &storage);
    if (error != ESP_OK) {
        return error;
    }
    error = forget ? nvs_erase_key(storage, KEY)
                   : nvs_set_u64(storage, KEY, (uint64_t)crc_of(t) << 32 | node_counter_get(&t->node.calibration.threshold));
    if (error == ESP_OK) {
        error = nvs_commit(storage);
    }
    nvs_close(storage);
    return forget && error == ESP_ERR_NVS_NOT_FOUND ? ESP_OK : error;
}

static void log_stored(esp_err_t error) {
    if (error != ESP_OK) {
        ESP_LOGE(TAG, "the room's threshold is not stored (%s): the next start does not have it; call nvs_flash_init before the start",
                 esp_err_to_name(error));
    }
}

static void log_calibration(temporal *t) {
    const node_calibration *calibration = &t->node.calibration;
    t->logged = calibration->state;
    if (calibration->state == NODE_CALIBRATION_MEASURED) {
        ESP_LOGI(TAG, "quiet room: threshold %+.4f after %" PRIu32 " predictions, of which %" PRIu32 " were false alarms",
                 (double)node_calibration_threshold(calibration), calibration->seen, calibration->alarms);
        log_stored(store_threshold(t, 0));
    } else if (calibration->state == NODE_CALIBRATION_MOTION) {
        ESP_LOGE(TAG, "motion: expected a quiet room, found motion in %" PRIu32 " of %" PRIu32
                 " predictions; calibrate again while nobody moves", calibration->alarms, calibration->seen);
    } else if (calibration->state == NODE_CALIBRATION_FRAMES) {
        ESP_LOGE(TAG, "frames: expected %" PRIu32 " predictions within %u s, found %" PRIu32
                 "; calibrate again while packets come", calibration->wanted, NODE_CALIBRATION_PATIENCE / 1000000u, calibration->seen);
    }
}

static void serve_calibration(temporal *t) {
    const int asked = __atomic_exchange_n(&t->asked, 0, __ATOMIC_SEQ_CST);
    if (asked == MEASURE) {
        (void)node_calibrate(&t->node, now_us(), NULL);
        t->logged = NODE_CALIBRATION_MEASURING;
        ESP_LOGI(TAG, "measuring: ten seconds in which nobody moves");
    } else if (asked == FORGET) {
        node_counter_set(&t->node.calibration.state, NODE_CALIBRATION_IDLE);
        node_calibration_set(&t->node.calibration, 0.0f);
        t->logged = NODE_CALIBRATION_IDLE;
        ESP_LOGI(TAG, "the threshold is the model's own");
        log_stored(store_threshold(t, 1));
    }
    node_calibration_expire(&t->node.calibration, now_us());
    if (t->node.calibration.state != t->logged) {
        log_calibration(t);
    }
}

static void serve(temporal *t) {
    uint32_t in_a_row = 0;
    begin_trial(t);
    send_prediction(t); /* begins the first period */
    while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
        serve_calibration(t);
        expect_written(t, node_trial_count(&t->trial, &t->node));
        if (work(t)) {
            send_prediction(t);
            send_receipt(t);
            if (++in_a_row >= NODE_QUEUE_FRAMES) { /* frames arrive faster than this chip computes: let lower-priority tasks run */
                in_a_row = 0;
                vTaskDelay(1);
            }
        } else {
            const uint64_t wait_ms = node_wait(&t->node, now_us()) / 1000u + 1u;
            in_a_row = 0;
            end_trial(t);
            (void)ulTaskNotifyTake(pdTRUE, pdMS_TO_TICKS((uint32_t)(wait_ms < 3600000u ? wait_ms : 3600000u)) + 1);
            send_prediction(t);
            send_receipt(t);
        }
    }
    serve_calibration(t); /* what was asked before the end */
    log_figures(t);
}

static void run(void *user) {
    temporal *t = user;
    while (!__atomic_load_n(&t->go, __ATOMIC_SEQ_CST)) {
        (void)ulTaskNotifyTake(pdTRUE, pdMS_TO_TICKS(1000) + 1);
    }
    if (t->opened.classifier != NULL) { /* else no model could be opened */
        serve(t);
    }
    __atomic_store_n(&t->finished, 1, __ATOMIC_RELEASE);
    for (;;) {
        vTaskSuspend(NULL); /* temporal_task_stop deletes the task, which frees its stack at once */
    }
}

/* Starting and stopping. */

temporal_task_config_t temporal_task_default_config(void) {
    const temporal_task_config_t config = {
        .context = CONFIG_RUV_TEMPORAL_CONTEXT,
        .period_ms = CONFIG_RUV_TEMPORAL_PERIOD_MS,
        .node_id = CONFIG_RUV_TEMPORAL_NODE_ID,
        .host = CONFIG_RUV_TEMPORAL_HOST,
        .port = CONFIG_RUV_TEMPORAL_PORT,
    };
    return config;
}

static void release(temporal *t) {
    ruv_udp_close(&t->udp);
    ruv_close(&t->opened);
    heap_caps_free(t);
}

static esp_err_t self_test_once(void) {
    const esp_err_t error = self_test_passed ? ESP_OK : ruv_temporal_kernel_self_test();
    self_test_passed = error == ESP_OK;
    return error;
}

static node_wanted wanted_by(const temporal_task_config_t *config) {
    const node_wanted wanted = {config->input_dim, config->n_classes, config->context, ruv_cache_dtype(), 1};
    return wanted;
}

static esp_err_t open_head(const temporal_task_config_t *config, ruv_opened *opened) {
    const node_wanted wanted = wanted_by(config);
    return config->weights == NULL ? ruv_open_slots(&wanted, opened)
                                   : ruv_open_blob(config->weights, config->weights_len, &wanted, opened);
}

/* What a start allocates beyond the model and its queue. The stack comes first, so that memory that suffices for the model suffices for
   all. */
#define OWN_BYTES (sizeof(temporal) + CONFIG_RUV_TEMPORAL_STACK)

/* Ends the task and frees everything. */
static void end(temporal *t) {
    __atomic_store_n(&t->stop, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->go, 1, __ATOMIC_SEQ_CST);
    (void)xTaskNotifyGive(t->task);
    while (!__atomic_load_n(&t->finished, __ATOMIC_ACQUIRE) || eTaskGetState(t->task) != eSuspended) {
        vTaskDelay(1);
    }
    __atomic_store_n(&running, NULL, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&inside, __ATOMIC_SEQ_CST)) {
        vTaskDelay(1);
    }
    vTaskDelete(t->task);
    release(t);
}

/* Everything that does not depend on the model. The task waits. */
static esp_err_t create(const temporal_task_config_t *config, temporal **made) {
    temporal *t = heap_caps_aligned_calloc(8, 1, sizeof *t, MALLOC_CAP_8BIT);
    esp_err_t error;
    if (t == NULL) {
        return ESP_ERR_NO_MEM;
    }
    t->udp.socket = -1;
    t->period = (uint64_t)config->period_ms * 1000u;
    node_cadence_init(&t->figures, FIGURES_US);
    error = ruv_udp_open(&t->udp, config->host, config->port);
    if (error != ESP_OK) {
        ESP_LOGE(TAG, "no socket to %s port %u", config->host, (unsigned)config->port);
    } else if (xTaskCreatePinnedToCore(run, "temporal", CONFIG_RUV_TEMPORAL_STACK, t, CONFIG_RUV_TEMPORAL_PRIORITY, &t->task,
                                       CORE) != pdPASS) {
        ESP_LOGE(TAG, "no memory for a stack of %u bytes", (unsigned)CONFIG_RUV_TEMPORAL_STACK);
        error = ESP_ERR_NO_MEM;
    }
    if (error != ESP_OK) {
        release(t);
        return error;
    }
    *made = t;
    return ESP_OK;
}

/* The model, then the node on it. */
static esp_err_t open_node(const temporal_task_config_t *config, temporal *t) {
    ruv_opened *opened = &t->opened;
    esp_err_t error = open_head(config, opened);
    if (error == ESP_OK) {
        error = ruv_error(node_init(&t->node, opened->classifier, config->node_id, t->period, opened->queue));
    }
    if (error == ESP_OK) {
        t->memory = OWN_BYTES + opened->bytes;
#ifdef CONFIG_RUV_TEMPORAL_RECEIPTS
        node_receipts_init(&t->receipts, opened->classifier, config->node_id);
        t->node.receipts = &t->receipts;
#endif
        load_threshold(t);
        if (opened->slot >= 0) {
            node_trial_begin(&t->trial, &opened->partitions.flash, (unsigned)opened->slot, &opened->verdict);
            t->on_trial = (uint32_t)node_trial_open(&t->trial);
        }
    }
    return error;
}

static esp_err_t start(const temporal_task_config_t *config) {
    const temporal_task_config_t usual = temporal_task_default_config();
    temporal *t = NULL;
    esp_err_t error;
    if (__atomic_load_n(&running, __ATOMIC_SEQ_CST) != NULL) {
        return ESP_ERR_INVALID_STATE;
    }
    if (config == NULL) {
        config = &usual;
    }
    if (config->period_ms == 0) {
        return ESP_ERR_INVALID_ARG;
    }
    error = self_test_once();
    if (error == ESP_OK) {
        error = create(config, &t);
    }
    if (error == ESP_OK) {
        error = open_node(config, t);
        if (error != ESP_OK) {
            end(t);
        }
    }
    if (error != ESP_OK) {
        ESP_LOGE(TAG, "no head: %s", esp_err_to_name(error));
        return error;
    }
    ESP_LOGI(TAG, "%u features, %u classes, %u bytes of memory, %u of them stack",
             (unsigned)t->node.classifier->model.header.input_dim, (unsigned)t->node.classifier->model.header.n_classes,
             (unsigned)t->memory, (unsigned)CONFIG_RUV_TEMPORAL_STACK);
    __atomic_store_n(&running, t, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->go, 1, __ATOMIC_SEQ_CST);
    (void)xTaskNotifyGive(t->task);
    return ESP_OK;
}

static esp_err_t stop(void) {
    temporal *t = __atomic_load_n(&running, __ATOMIC_SEQ_CST);
    if (t == NULL) {
        return ESP_ERR_INVALID_STATE;
    }
    end(t);
    return ESP_OK;
}

esp_err_t temporal_task_start(const temporal_task_config_t *config) {
    esp_err_t error;
    ruv_slots_take();
    error = start(config);
    ruv_slots_give();
    return error;
}

esp_err_t temporal_task_stop(void) {
    esp_err_t error;
    ruv_slots_take();
    error = stop();
    ruv_slots_give();
    return error;
}

void ruv_slots_take(void) {
    while (__atomic_exchange_n(&slots_taken, 1, __ATOMIC_ACQUIRE)) {
        vTaskDelay(1);
    }
}

void ruv_slots_give(void) {
    __atomic_store_n(&slots_taken, 0, __ATOMIC_RELEASE);
}

int ruv_slot_in_use(void) {
    const temporal *t = __atomic_load_n(&running, __ATOMIC_SEQ_CST);
    return t != NULL ? t->opened.slot : -1;
}

/* The submitting side. */

esp_err_t temporal_task_submit(const float *frame, uint32_t n) {
    temporal *t = enter();
    if (t == NULL) {
        return ESP_ERR_INVALID_STATE;
    }
    if (frame == NULL) {
        (void)leave(t, NODE_WRONG_SHAPE);
        return ESP_ERR_INVALID_ARG;
    }
    return leave(t, node_offer(&t->node, frame, n, now_us()));
}

esp_err_t temporal_task_submit_csi(const int8_t *iq, size_t n_pairs, uint16_t layout, bool first_word_invalid, uint32_t number,
                                   uint32_t timestamp) {
    temporal *t = enter();
    uint64_t time;
    if (t == NULL) {
        return ESP_ERR_INVALID_STATE;
    }
    if (iq == NULL) {
        (void)leave(t, NODE_WRONG_SHAPE);
        return ESP_ERR_INVALID_ARG;
    }
    time = aether_clock_read(&t->clock, timestamp);
    node_counter_set(&t->clock_jumps, t->clock.restarts);
    return leave(t, node_offer_iq(&t->node, iq, n_pairs, layout, first_word_invalid, number, time));
}

esp_err_t temporal_task_submit_state(const void *packet, size_t length) {
    float features[NODE_STATE_FEATURES];
    uint64_t time = 0;
    temporal *t;
    if (!node_state_read(packet, length, features, &time)) {
        return ESP_ERR_INVALID_CRC;
    }
    t = enter();
    if (t == NULL) {
        return ESP_ERR_INVALID_STATE;
    }
    return leave(t, node_offer(&t->node, features, NODE_STATE_FEATURES, time));
}

esp_err_t temporal_task_shape(uint32_t *features, uint32_t *csi_pairs) {
    const temporal *t = __atomic_load_n(&running, __ATOMIC_SEQ_CST);
    const aether_model *model;
    if (t == NULL) {
        return ESP_ERR_INVALID_STATE;
    }
    if (features == NULL || csi_pairs == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    model = &t->node.classifier->model;
    *features = model->header.input_dim;
    *csi_pairs = node_csi_pairs(model);
    return ESP_OK;
}

static esp_err_t ask(int what) {
    temporal *t = __atomic_load_n(&running, __ATOMIC_SEQ_CST);
    if (t == NULL) {
        return ESP_ERR_INVALID_STATE;
    }
    if (what == MEASURE && !CALIBRATES) {
        ESP_LOGE(TAG, "calibrate: expected a node without receipts (RUV_TEMPORAL_RECEIPTS), found one with them; switch them off");
        return ESP_ERR_NOT_SUPPORTED;
    }
    if (what == MEASURE && node_calibration_fits(&t->node.classifier->model, NULL) != AETHER_OK) {
        return ESP_ERR_NOT_SUPPORTED;
    }
    __atomic_store_n(&t->asked, what, __ATOMIC_SEQ_CST);
    (void)xTaskNotifyGive(t->task);
    return ESP_OK;
}

esp_err_t temporal_task_calibrate(void) {
    return ask(MEASURE);
}

esp_err_t temporal_task_uncalibrate(void) {
    return ask(FORGET);
}

esp_err_t temporal_task_memory(const temporal_task_config_t *config, const uint8_t *weights, size_t weights_len, size_t *bytes) {
    const temporal_task_config_t usual = temporal_task_default_config();
    const node_wanted wanted = wanted_by(config != NULL ? config : &usual);
    const esp_err_t error = bytes != NULL ? ruv_blob_memory(weights, weights_len, &wanted, bytes) : ESP_ERR_INVALID_ARG;
    if (error == ESP_OK) {
        *bytes += OWN_BYTES;
    }
    return error;
}

esp_err_t temporal_task_stats(temporal_task_stats_t *stats) {
    const temporal *t = __atomic_load_n(&running, __ATOMIC_SEQ_CST);
    if (t == NULL) {
        return ESP_ERR_INVALID_STATE;
    }
    if (stats == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    read_stats(t, stats);
    return ESP_OK;
}
