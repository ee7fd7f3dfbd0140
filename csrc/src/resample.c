#include "aether/resample.h"

#include "bits.h"
#include "fpenv.h"
#include "model_ops.h"
#include "sizes.h"

uint64_t aether_clock_read(aether_clock *clock, uint32_t microseconds) {
    if (clock->begun) {
        const uint32_t step = microseconds - clock->last;
        if (step < 0x80000000u) {
            clock->elapsed += step;
        } else {
            clock->restarts++;
        }
    }
    clock->begun = 1;
    clock->last = microseconds;
    return clock->elapsed;
}

aether_status aether_resample_size(size_t dim, size_t *bytes) {
    const size_t need = aether_mul(dim, 2 * sizeof(float));
    if (bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (dim == 0) {
        return AETHER_E_CONFIG;
    }
    if (need == SIZE_MAX) {
        return AETHER_E_TOO_LARGE;
    }
    *bytes = need;
    return AETHER_OK;
}

aether_status aether_resample_init(aether_resampler *r, size_t dim, uint32_t period, uint32_t max_gap, uint32_t agc,
                                   void *memory, size_t bytes) {
    size_t need;
    aether_status status;
    if (r == NULL || memory == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(memory, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
    }
    status = aether_resample_size(dim, &need);
    if (status != AETHER_OK) {
        return status;
    }
    if (period == 0 || max_gap < period || max_gap > AETHER_RESAMPLE_MAX_GAP ||
        max_gap > (uint64_t)period * AETHER_RESAMPLE_MAX_DUE || agc > 1) {
        return AETHER_E_CONFIG;
    }
    if (bytes < need) {
        return AETHER_E_MEMORY;
    }
    memset(r, 0, sizeof *r);
    r->dim = dim;
    r->period = period;
    r->max_gap = max_gap;
    r->agc = agc;
    r->rows = memory;
    return AETHER_OK;
}

aether_status aether_resample_init_model(aether_resampler *r, const aether_model *model, void *memory, size_t bytes) {
    if (model == NULL) {
        return AETHER_E_ARGUMENT;
    }
    return aether_resample_init(r, model->header.input_dim, model->resample_period, model->resample_max_gap, model->agc,
                                memory, bytes);
}

void aether_resample_reset(aether_resampler *r) {
    r->started = 0;
    r->due = 0;
}

static AETHER_NOINLINE int agc_removed(float *row, size_t n) {
    return aether_op_remove_agc(row, n) && aether_all_finite(row, n);
}

/* The row that no grid frame to come needs is made ready before anything else changes. */
static aether_status stage(const aether_resampler *r, const float *frame, float *row) {
    aether_fpenv env;
    int finite;
    if (!aether_all_finite(frame, r->dim)) {
        return AETHER_E_NOT_FINITE;
    }
    memmove(row, frame, r->dim * sizeof(float));
    if (r->agc == 0) {
        return AETHER_OK;
    }
    env = aether_fpenv_enter();
    finite = agc_removed(row, r->dim);
    aether_fpenv_leave(env);
    return finite ? AETHER_OK : AETHER_E_OVERFLOW;
}

aether_status aether_resample_push(aether_resampler *r, const float *frame, uint64_t time, int *restarted) {
    aether_status status;
    uint32_t spare;
    if (r == NULL || frame == NULL || r->due > 0 || time >> 63 != 0) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(frame, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
    }
    spare = 1 - r->newest_row;
    status = stage(r, frame, r->rows + spare * r->dim);
    if (status != AETHER_OK) {
        return status;
    }
    r->newest_row = spare;
    if (restarted != NULL) {
        *restarted = 0;
    }
    if (r->started && time >= r->newest && time - r->newest <= r->max_gap) {
        r->before = r->newest;
        r->newest = time;
        r->due = r->next <= time ? (uint32_t)(time - r->next) / r->period + 1 : 0;
        return AETHER_OK;
    }
    if (restarted != NULL) {
        *restarted = (int)r->started;
    }
    r->started = 1;
    r->before = r->newest = r->next = time;
    r->due = 1;
    return AETHER_OK;
}

uint32_t aether_resample_due(const aether_resampler *r) {
    return r->due;
}

uint64_t aether_resample_time(const aether_resampler *r) {
    return r->next;
}

static AETHER_NOINLINE void between(const float *a, const float *b, uint32_t part, uint32_t whole, size_t n, float *out) {
    const float weight = (float)part / (float)whole; /* both exact: at most 2^24 */
    size_t f;
    for (f = 0; f < n; f++) {
        out[f] = a[f] + (b[f] - a[f]) * weight;
    }
}

aether_status aether_resample_take(aether_resampler *r, float *out) {
    const float *a, *b;
    uint32_t part, whole;
    if (r == NULL || out == NULL || r->due == 0) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(out, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
    }
    a = r->rows + (1 - r->newest_row) * r->dim;
    b = r->rows + r->newest_row * r->dim;
    part = (uint32_t)(r->next - r->before);
    whole = (uint32_t)(r->newest - r->before);
    r->due--;
    r->next += r->period;
    if (part == whole) {
        memcpy(out, b, r->dim * sizeof(float));
        return AETHER_OK;
    }
    {
        const aether_fpenv env = aether_fpenv_enter();
        between(a, b, part, whole, r->dim, out);
        aether_fpenv_leave(env);
    }
    return aether_all_finite(out, r->dim) ? AETHER_OK : AETHER_E_OVERFLOW;
}
