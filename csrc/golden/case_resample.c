/* Cases of the resampler: frames at the times of a node's clock, and the grid frames that come of them. */
#include "case.h"

static void take_due(golden_sink *sink, aether_resampler *r, size_t dim, float *out) {
    while (aether_resample_due(r) > 0) {
        const uint64_t time = aether_resample_time(r);
        const aether_status status = aether_resample_take(r, out);
        golden_put(sink, (uint32_t)(time & 0xFFFFFFFFu));
        golden_put(sink, (uint32_t)(time >> 32));
        golden_put(sink, (uint32_t)status);
        if (status == AETHER_OK) {
            golden_put_floats(sink, out, dim);
        }
    }
}

void golden_run_resample(golden_run *run) {
    const uint32_t *p = run->c.params;
    golden_input times, frames;
    golden_sink sink;
    aether_resampler resampler;
    aether_clock clock = {0, 0, 0, 0};
    aether_status status;
    float *memory, *frame, *out;
    uint32_t i;
    if (run->c.n_params != 5 || !golden_input_at(&run->c, 0, &times) || !golden_input_at(&run->c, 1, &frames) ||
        times.count != p[4] || frames.count != (uint64_t)p[4] * p[0]) {
        return;
    }
    memory = golden_take(&run->arena, p[0], 2 * sizeof(float));
    frame = golden_take(&run->arena, p[0], sizeof(float));
    out = golden_take(&run->arena, p[0], sizeof(float));
    if (!golden_ready(run)) {
        return;
    }
    golden_sink_open(&sink, &run->c, "function", 0);
    status = aether_resample_init(&resampler, p[0], p[1], p[2], p[3], memory, p[0] * 2 * sizeof(float));
    for (i = 0; i < p[4] && status == AETHER_OK; i++) {
        int restarted = 0;
        const uint64_t time = aether_clock_read(&clock, golden_word(&times, i));
        golden_fill(&frames, (size_t)i * p[0], p[0], frame);
        golden_put(&sink, (uint32_t)aether_resample_push(&resampler, frame, time, &restarted));
        golden_put(&sink, (uint32_t)restarted);
        golden_put(&sink, aether_resample_due(&resampler));
        take_due(&sink, &resampler, p[0], out);
    }
    if (status == AETHER_OK) {
        golden_put(&sink, clock.restarts);
    }
    golden_close(run, &sink, status, 1);
}
