/* A FreeRTOS task around node.h. */
#include "temporal_task.h"

#include <inttypes.h>
#include <string.h>

#include "context.h"
#include "counter.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "node.h"
#include "opening.h"
#include "ruv_temporal.h"
#include "sdkconfig.h"
#include "status_map.h"
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
    uint32_t worst_us;
    int stop;     /* request to end the task */
    int finished; /* the task has ended */
    size_t memory;
    size_t bytes; /* of this struct and the queue */
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
}

static void log_figures(const temporal *t) {
    temporal_task_stats_t s;
    read_stats(t, &s);
    ESP_LOGI(TAG,
             "frames %" PRIu32 ", dropped %" PRIu32 ", rejected %" PRIu32 ", wrong shape %" PRIu32 ", restarts %" PRIu32
             ", predictions %" PRIu32 ", idle %" PRIu32 ", sent %" PRIu32 ", lost %" PRIu32
             "; worst frame %" PRIu32 " us, stack never used %" PRIu32 " of %u bytes",
             s.frames, s.dropped, s.rejected, s.wrong_shape, s.restarts, s.classifications, s.idle, s.sent, s.send_errors,
             s.worst_frame_us, s.stack_left, (unsigned)CONFIG_RUV_TEMPORAL_STACK);
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
    }
    return worked;
}

static void send_prediction(temporal *t) {
    const uint64_t now = now_us();
    unsigned char packet[NODE_CLASS_BYTES];
    if (node_classify(&t->node, now, packet)) {
        if (t->udp.socket < 0) {
            const node_prediction a = node_prediction_of(aether_stream_logits(&t->node.classifier->stream),
                                                 t->node.classifier->model.header.n_classes);
            const char *name = node_classifier_class_name(t->node.classifier, a.argmax);
            ESP_LOGI(TAG, "class %" PRIu32 " %s, margin %.3f", a.argmax, name != NULL ? name : "", (double)a.margin);
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

static void run(void *user) {
    temporal *t = user;
    uint32_t in_a_row = 0;
    send_prediction(t); /* begins the first period */
    while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
        if (work(t)) {
            send_prediction(t);
            if (++in_a_row >= NODE_QUEUE_FRAMES) { /* frames arrive faster than this chip computes: let lower-priority tasks run */
                in_a_row = 0;
                vTaskDelay(1);
            }
        } else {
            const uint64_t wait_ms = node_wait(&t->node, now_us()) / 1000u + 1u;
            in_a_row = 0;
            (void)ulTaskNotifyTake(pdTRUE, pdMS_TO_TICKS((uint32_t)(wait_ms < 3600000u ? wait_ms : 3600000u)) + 1);
            send_prediction(t);
        }
    }
    log_figures(t);
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

static esp_err_t open_head(const temporal_task_config_t *config, ruv_opened *opened) {
    const node_wanted wanted = {config->input_dim, config->n_classes, config->context, ruv_cache_dtype()};
    return config->weights == NULL ? ruv_open_slots(&wanted, opened)
                                   : ruv_open_blob(config->weights, config->weights_len, &wanted, opened);
}

/* Creates everything but the task, in one piece of memory that ends with the queue. */
static esp_err_t create(const temporal_task_config_t *config, temporal **made) {
    const size_t own = (sizeof(temporal) + 7u) & ~(size_t)7u;
    ruv_opened *opened = heap_caps_calloc(1, sizeof *opened, MALLOC_CAP_8BIT);
    temporal *t = NULL;
    esp_err_t error;
    if (opened == NULL) {
        return ESP_ERR_NO_MEM;
    }
    error = open_head(config, opened);
    if (error == ESP_OK) {
        const size_t queue = node_memory(opened->classifier);
        t = queue <= SIZE_MAX - own ? heap_caps_aligned_calloc(8, 1, own + queue, MALLOC_CAP_8BIT) : NULL;
        if (t == NULL) {
            ruv_close(opened);
            error = ESP_ERR_NO_MEM;
        } else {
            t->bytes = own + queue;
        }
    }
    if (t != NULL) {
        t->opened = *opened;
        t->opened.partitions.flash.user = &t->opened.partitions;
        t->memory = t->bytes + opened->bytes;
        t->udp.socket = -1;
        node_cadence_init(&t->figures, FIGURES_US);
        error = ruv_error(node_init(&t->node, t->opened.classifier, config->node_id, (uint64_t)config->period_ms * 1000u,
                                    (unsigned char *)t + own));
        if (error != ESP_OK) {
            ESP_LOGE(TAG, "%u classes: a packet can name %u", (unsigned)t->opened.classifier->model.header.n_classes,
                     (unsigned)NODE_MAX_CLASSES);
            error = ESP_ERR_INVALID_ARG;
        } else {
            error = ruv_udp_open(&t->udp, config->host, config->port);
            if (error != ESP_OK) {
                ESP_LOGE(TAG, "no socket to %s port %u", config->host, (unsigned)config->port);
            }
        }
        if (error != ESP_OK) {
            release(t);
            t = NULL;
        }
    }
    heap_caps_free(opened);
    *made = t;
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
    if (error == ESP_OK && xTaskCreatePinnedToCore(run, "temporal", CONFIG_RUV_TEMPORAL_STACK, t, CONFIG_RUV_TEMPORAL_PRIORITY,
                                                   &t->task, CORE) != pdPASS) {
        ESP_LOGE(TAG, "no memory for a stack of %u bytes", (unsigned)CONFIG_RUV_TEMPORAL_STACK);
        release(t);
        error = ESP_ERR_NO_MEM;
    }
    if (error != ESP_OK) {
        ESP_LOGE(TAG, "no head: %s", esp_err_to_name(error));
        return error;
    }
    ESP_LOGI(TAG, "%u features, %u classes, %u bytes of memory", (unsigned)t->node.classifier->model.header.input_dim,
             (unsigned)t->node.classifier->model.header.n_classes, (unsigned)t->memory);
    __atomic_store_n(&running, t, __ATOMIC_SEQ_CST);
    return ESP_OK;
}

static esp_err_t stop(void) {
    temporal *t = __atomic_load_n(&running, __ATOMIC_SEQ_CST);
    if (t == NULL) {
        return ESP_ERR_INVALID_STATE;
    }
    __atomic_store_n(&t->stop, 1, __ATOMIC_RELEASE);
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

esp_err_t temporal_task_submit_csi(const int8_t *iq, size_t n_pairs, bool first_word_invalid, uint32_t timestamp) {
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
    return leave(t, node_offer_iq(&t->node, iq, n_pairs, first_word_invalid, time));
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
    *csi_pairs = model->subcarriers != NULL ? model->n_pairs : model->header.input_dim;
    return ESP_OK;
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
