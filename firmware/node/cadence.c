#include "cadence.h"

#include "counter.h"

/* Saturates, so that a time near the end of 64 bits cannot make every later event due at once. */
static uint64_t later(uint64_t time, uint64_t by) {
    return time > UINT64_MAX - by ? UINT64_MAX : time + by;
}

void node_cadence_init(node_cadence *cadence, uint64_t period) {
    cadence->period = period > 0 ? period : 1;
    cadence->last = 0;
    cadence->next = 0;
    cadence->started = 0;
    cadence->skipped = 0;
    cadence->jumps = 0;
}

int node_cadence_due(node_cadence *cadence, uint64_t now) {
    const int back = cadence->started && now < cadence->last;
    uint64_t late;
    cadence->last = now;
    if (!cadence->started || back) {
        cadence->started = 1;
        node_counter_add(&cadence->jumps, (uint32_t)back);
        cadence->next = later(now, cadence->period);
        return 0;
    }
    if (now < cadence->next) {
        return 0;
    }
    late = now - cadence->next;
    if (late < cadence->period) {
        cadence->next = later(cadence->next, cadence->period); /* no drift while the caller keeps up */
    } else {
        const uint64_t missed = late / cadence->period;
        const uint32_t headroom = UINT32_MAX - cadence->skipped;
        node_counter_add(&cadence->skipped, missed > headroom ? headroom : (uint32_t)missed);
        cadence->next = later(now, cadence->period);
    }
    return 1;
}

uint64_t node_cadence_wait(const node_cadence *cadence, uint64_t now) {
    if (!cadence->started || now < cadence->last) {
        return cadence->period;
    }
    if (now >= cadence->next) {
        return 0;
    }
    return cadence->next - now < cadence->period ? cadence->next - now : cadence->period;
}
