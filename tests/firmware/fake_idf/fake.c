/* The few calls of ESP-IDF and FreeRTOS that the node uses, on a computer with threads. A task that is notified while it is suspended
   stays so, and a deleted task's memory is free at once when it is suspended, as in the real ones. */
#include "fake.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "prototypes.h"

#define HOST_STACK (1024u * 1024u) /* a computer's C library and sanitizers take more than a chip's */

/* Memory. */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int opened, made, fail_ahead, fail_flash, fail_nvs;
static size_t heap, taken;

/* 1 unless this call is the one that fails. Hold the lock. */
static int passes(int *ahead) {
    return *ahead == 0 || --*ahead != 0;
}

static int allowed(size_t bytes) {
    int ok;
    pthread_mutex_lock(&lock);
    made++;
    ok = passes(&fail_ahead) && (heap == 0 || bytes <= heap - taken);
    opened += ok;
    taken += ok ? bytes : 0;
    pthread_mutex_unlock(&lock);
    return ok;
}

static int flash_works(void) {
    int ok;
    pthread_mutex_lock(&lock);
    ok = passes(&fail_flash);
    pthread_mutex_unlock(&lock);
    return ok;
}

static void closed(size_t bytes) {
    pthread_mutex_lock(&lock);
    opened--;
    taken -= bytes;
    pthread_mutex_unlock(&lock);
}

int fake_open(void) {
    int n;
    pthread_mutex_lock(&lock);
    n = opened;
    pthread_mutex_unlock(&lock);
    return n;
}

int fake_allocations(void) {
    int n;
    pthread_mutex_lock(&lock);
    n = made;
    pthread_mutex_unlock(&lock);
    return n;
}

static int set(int *ahead, int value) {
    int left;
    pthread_mutex_lock(&lock);
    left = *ahead;
    *ahead = value;
    pthread_mutex_unlock(&lock);
    return left;
}

int fake_fail_allocation(int ahead) {
    return set(&fail_ahead, ahead);
}

int fake_fail_flash(int ahead) {
    return set(&fail_flash, ahead);
}

void fake_heap(size_t bytes) {
    pthread_mutex_lock(&lock);
    heap = bytes;
    pthread_mutex_unlock(&lock);
}

/* Each allocation begins with its size. */
#define SIZE_PREFIX 16u

void *heap_caps_aligned_alloc(size_t alignment, size_t size, uint32_t caps) {
    void *p = NULL;
    (void)caps;
    if (alignment > SIZE_PREFIX || !allowed(size) || posix_memalign(&p, SIZE_PREFIX, size + SIZE_PREFIX) != 0) {
        return NULL;
    }
    memcpy(p, &size, sizeof size);
    return (unsigned char *)p + SIZE_PREFIX;
}

void *heap_caps_aligned_calloc(size_t alignment, size_t n, size_t size, uint32_t caps) {
    void *p = heap_caps_aligned_alloc(alignment, n * size, caps);
    return p != NULL ? memset(p, 0, n * size) : NULL;
}

void *heap_caps_calloc(size_t n, size_t size, uint32_t caps) {
    return heap_caps_aligned_calloc(8, n, size, caps);
}

void heap_caps_free(void *ptr) {
    if (ptr != NULL) {
        unsigned char *p = (unsigned char *)ptr - SIZE_PREFIX;
        size_t size;
        memcpy(&size, p, sizeof size);
        free(p);
        closed(size);
    }
}

/* NVS, with one key. */

static bool nvs_there = true, stored_there;
static uint64_t stored;

static esp_err_t nvs(void) {
    int ok;
    pthread_mutex_lock(&lock);
    ok = passes(&fail_nvs);
    pthread_mutex_unlock(&lock);
    return ok ? ESP_OK : ESP_FAIL;
}

int fake_fail_nvs(int ahead) {
    return set(&fail_nvs, ahead);
}

void fake_nvs_there(bool there) {
    nvs_there = there;
}

esp_err_t nvs_open(const char *namespace_name, nvs_open_mode_t open_mode, nvs_handle_t *out_handle) {
    if (!nvs_there) {
        return 0x1101; /* ESP_ERR_NVS_NOT_INITIALIZED */
    }
    if (strcmp(namespace_name, "aether") != 0) {
        abort();
    }
    *out_handle = 1u + (uint32_t)open_mode;
    return open_mode == NVS_READONLY && !stored_there ? ESP_ERR_NVS_NOT_FOUND : nvs();
}

esp_err_t nvs_get_u64(nvs_handle_t handle, const char *key, uint64_t *out_value) {
    const esp_err_t error = nvs();
    if (handle == 0 || strcmp(key, "calibration") != 0) {
        abort();
    }
    if (error == ESP_OK && stored_there) {
        *out_value = stored;
    }
    return error == ESP_OK && !stored_there ? ESP_ERR_NVS_NOT_FOUND : error;
}

esp_err_t nvs_set_u64(nvs_handle_t handle, const char *key, uint64_t value) {
    const esp_err_t error = nvs();
    if (handle != 1u + NVS_READWRITE || strcmp(key, "calibration") != 0) {
        abort();
    }
    if (error == ESP_OK) {
        stored = value;
        stored_there = true;
    }
    return error;
}

esp_err_t nvs_erase_key(nvs_handle_t handle, const char *key) {
    const esp_err_t error = nvs();
    if (handle != 1u + NVS_READWRITE || strcmp(key, "calibration") != 0) {
        abort();
    }
    if (error == ESP_OK && !stored_there) {
        return ESP_ERR_NVS_NOT_FOUND;
    }
    stored_there = stored_there && error != ESP_OK;
    return error;
}

esp_err_t nvs_commit(nvs_handle_t handle) {
    return handle == 1u + NVS_READWRITE ? nvs() : ESP_FAIL;
}

void nvs_close(nvs_handle_t handle) {
    if (handle == 0) {
        abort();
    }
}

/* Time. */

static int64_t jumped;
static int stopped;

int64_t esp_timer_get_time(void) {
    struct timespec t = {0, 0};
    if (!__atomic_load_n(&stopped, __ATOMIC_SEQ_CST)) {
        clock_gettime(CLOCK_MONOTONIC, &t);
    }
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 + __atomic_load_n(&jumped, __ATOMIC_SEQ_CST);
}

void fake_clock_stop(int64_t microseconds) {
    __atomic_store_n(&jumped, microseconds, __ATOMIC_SEQ_CST);
    __atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
}

void fake_clock_jump(int64_t microseconds) {
    (void)__atomic_add_fetch(&jumped, microseconds, __ATOMIC_SEQ_CST);
}

/* Network. */

static bool network;

esp_err_t esp_netif_init(void) {
    network = true;
    return ESP_OK;
}

int fake_socket(int domain, int type, int protocol);
int fake_socket(int domain, int type, int protocol) {
    if (!network) {
        abort(); /* "Invalid mbox", says lwIP's tcpip_send_msg_wait_sem */
    }
    return socket(domain, type, protocol);
}

/* Tasks. */

struct tskTaskControlBlock {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    TaskFunction_t code;
    void *argument;
    uint32_t depth, notified;
    eTaskState state;
    bool end;
    unsigned char *stack;
};

static __thread TaskHandle_t self;

static void *begin(void *user) {
    self = user;
    self->code(self->argument);
    abort(); /* a FreeRTOS task must not return */
}

BaseType_t xTaskCreatePinnedToCore(TaskFunction_t pxTaskCode, const char *const pcName, const uint32_t ulStackDepth,
                                   void *const pvParameters, UBaseType_t uxPriority, TaskHandle_t *const pxCreatedTask,
                                   const BaseType_t xCoreID) {
    pthread_attr_t attributes;
    TaskHandle_t task;
    const size_t bytes = HOST_STACK + ulStackDepth;
    (void)uxPriority;
    if (strlen(pcName) > 15 || xCoreID > 1 || !allowed(ulStackDepth)) {
        return 0;
    }
    task = calloc(1, sizeof *task);
    task->stack = aligned_alloc(4096, bytes);
    memset(task->stack, 0xA5, bytes);
    pthread_mutex_init(&task->lock, NULL);
    pthread_cond_init(&task->changed, NULL);
    task->code = pxTaskCode;
    task->argument = pvParameters;
    task->depth = ulStackDepth;
    *pxCreatedTask = task;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, task->stack, bytes);
    if (pthread_create(&task->thread, &attributes, begin, task) != 0) {
        abort();
    }
    pthread_attr_destroy(&attributes);
    return pdPASS;
}

void vTaskDelete(TaskHandle_t task) {
    pthread_mutex_lock(&task->lock);
    if (task->state != eSuspended) {
        abort(); /* would be freed by the idle task, some time */
    }
    task->end = true;
    pthread_cond_broadcast(&task->changed);
    pthread_mutex_unlock(&task->lock);
    pthread_join(task->thread, NULL);
    closed(task->depth);
    free(task->stack);
    free(task);
}

void vTaskSuspend(TaskHandle_t task) {
    if (task != NULL) {
        abort(); /* not played */
    }
    pthread_mutex_lock(&self->lock);
    self->state = eSuspended;
    while (!self->end) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    pthread_exit(NULL);
}

eTaskState eTaskGetState(TaskHandle_t task) {
    eTaskState state;
    pthread_mutex_lock(&task->lock);
    state = task->state;
    pthread_mutex_unlock(&task->lock);
    return state;
}

/* Looks at another thread's stack, which a sanitizer of threads calls a race. */
__attribute__((no_sanitize_thread)) UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t task) {
    UBaseType_t unused = 0;
    while (unused < task->depth && task->stack[unused] == 0xA5) {
        unused++;
    }
    return unused;
}

void vTaskDelay(const TickType_t ticks) {
    const struct timespec t = {ticks / CONFIG_FREERTOS_HZ, (long)(ticks % CONFIG_FREERTOS_HZ) * (1000000000L / CONFIG_FREERTOS_HZ)};
    nanosleep(&t, NULL);
}

BaseType_t xTaskGenericNotify(TaskHandle_t task, UBaseType_t index, uint32_t value, eNotifyAction action, uint32_t *previous) {
    if (index != 0 || value != 0 || action != eIncrement || previous != NULL) {
        abort(); /* not played */
    }
    pthread_mutex_lock(&task->lock);
    task->notified++;
    pthread_cond_broadcast(&task->changed);
    pthread_mutex_unlock(&task->lock);
    return pdPASS;
}

uint32_t ulTaskGenericNotifyTake(UBaseType_t index, BaseType_t clear, TickType_t ticks) {
    struct timespec until;
    uint32_t value;
    if (index != 0 || !clear) {
        abort();
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(ticks / CONFIG_FREERTOS_HZ);
    until.tv_nsec += (long)(ticks % CONFIG_FREERTOS_HZ) * (1000000000L / CONFIG_FREERTOS_HZ);
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    pthread_mutex_lock(&self->lock);
    while (self->notified == 0 && pthread_cond_timedwait(&self->changed, &self->lock, &until) != ETIMEDOUT) {
    }
    value = self->notified;
    self->notified = 0;
    pthread_mutex_unlock(&self->lock);
    return value;
}

/* Flash. */

unsigned char fake_flash[2][FAKE_SLOT_BYTES];
static bool there[2] = {true, true};
static const esp_partition_t partitions[2] = {
    {NULL, ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_DATA_UNDEFINED, 0x110000, FAKE_SLOT_BYTES, 4096, "aether_a", false, false},
    {NULL, ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_DATA_UNDEFINED, 0x130000, FAKE_SLOT_BYTES, 4096, "aether_b", false, false},
};

__attribute__((constructor)) static void erased(void) {
    memset(fake_flash, 0xFF, sizeof fake_flash);
}

void fake_flash_there(unsigned slot, bool is) {
    there[slot] = is;
}

static unsigned char *flash_of(const esp_partition_t *partition, size_t offset, size_t size) {
    return offset <= FAKE_SLOT_BYTES && size <= FAKE_SLOT_BYTES - offset ? fake_flash[partition - partitions] + offset : NULL;
}

const esp_partition_t *esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype, const char *label) {
    unsigned i;
    for (i = 0; i < 2; i++) {
        if (there[i] && (type == ESP_PARTITION_TYPE_ANY || type == partitions[i].type) &&
            (subtype == ESP_PARTITION_SUBTYPE_ANY || subtype == partitions[i].subtype) &&
            strcmp(label, partitions[i].label) == 0) {
            return partitions + i;
        }
    }
    return NULL;
}

esp_err_t esp_partition_read(const esp_partition_t *partition, size_t offset, void *to, size_t size) {
    const unsigned char *at = flash_of(partition, offset, size);
    if (at == NULL || !flash_works()) {
        return ESP_ERR_INVALID_SIZE;
    }
    pthread_mutex_lock(&lock); /* the driver of the flash takes one call after another; what is mapped is read beside it */
    memcpy(to, at, size);
    pthread_mutex_unlock(&lock);
    return ESP_OK;
}

esp_err_t esp_partition_write(const esp_partition_t *partition, size_t offset, const void *from, size_t size) {
    unsigned char *at = flash_of(partition, offset, size);
    size_t i;
    if (at == NULL || !flash_works()) {
        return ESP_ERR_INVALID_SIZE;
    }
    pthread_mutex_lock(&lock);
    for (i = 0; i < size; i++) {
        at[i] &= ((const unsigned char *)from)[i];
    }
    pthread_mutex_unlock(&lock);
    return ESP_OK;
}

esp_err_t esp_partition_erase_range(const esp_partition_t *partition, size_t offset, size_t size) {
    unsigned char *at = flash_of(partition, offset, size);
    if (at == NULL || !flash_works() || offset % 4096 != 0 || size % 4096 != 0) {
        return ESP_ERR_INVALID_SIZE;
    }
    pthread_mutex_lock(&lock);
    memset(at, 0xFF, size);
    pthread_mutex_unlock(&lock);
    return ESP_OK;
}

esp_err_t esp_partition_mmap(const esp_partition_t *partition, size_t offset, size_t size, esp_partition_mmap_memory_t memory,
                             const void **out_ptr, esp_partition_mmap_handle_t *out_handle) {
    const unsigned char *at = flash_of(partition, offset, size);
    if (at == NULL || !flash_works() || memory != ESP_PARTITION_MMAP_DATA) {
        return ESP_ERR_INVALID_ARG;
    }
    pthread_mutex_lock(&lock);
    opened++;
    pthread_mutex_unlock(&lock);
    *out_ptr = at;
    *out_handle = 77;
    return ESP_OK;
}

void esp_partition_munmap(esp_partition_mmap_handle_t handle) {
    if (handle != 77) {
        abort();
    }
    closed(0);
}

/* The log goes to stdout. */

void fake_log(char level, const char *tag, const char *format, ...) {
    va_list values;
    pthread_mutex_lock(&lock);
    printf("%c %s: ", level, tag);
    va_start(values, format);
    vprintf(format, values);
    va_end(values);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

const char *esp_err_to_name(esp_err_t code) {
    switch (code) {
    case ESP_OK:
        return "ESP_OK";
    case ESP_FAIL:
        return "ESP_FAIL";
    case ESP_ERR_NO_MEM:
        return "ESP_ERR_NO_MEM";
    case ESP_ERR_INVALID_ARG:
        return "ESP_ERR_INVALID_ARG";
    case ESP_ERR_INVALID_STATE:
        return "ESP_ERR_INVALID_STATE";
    case ESP_ERR_INVALID_SIZE:
        return "ESP_ERR_INVALID_SIZE";
    case ESP_ERR_NOT_FOUND:
        return "ESP_ERR_NOT_FOUND";
    case ESP_ERR_NOT_SUPPORTED:
        return "ESP_ERR_NOT_SUPPORTED";
    case ESP_ERR_INVALID_CRC:
        return "ESP_ERR_INVALID_CRC";
    case ESP_ERR_INVALID_VERSION:
        return "ESP_ERR_INVALID_VERSION";
    default:
        return "UNKNOWN ERROR";
    }
}
