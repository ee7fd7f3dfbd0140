/* The bundled motion model as a node runs it on a chip: raw frames onto its grid, through the model, with a measurement of a quiet room. Prints lines
   "KEY VALUE", the value in hexadecimal. test_motion_on_chips.py links the blob, and says with which cache. */
#include "aether/crc32.h"
#include "csi_input.h"
#include "node.h"
#include "platform.h"

#define FRAMES 1100u
#define CONTEXT 256u
#define NOINLINE __attribute__((noinline))

extern const uint32_t motion_blob[];
extern const uint32_t motion_bytes;

static uint64_t arena[65536 / 8], waiting[16384 / 8];

NOINLINE void budget_begin(void) {
    __asm__ volatile("" ::: "memory");
}

NOINLINE void budget_end(void) {
    __asm__ volatile("" ::: "memory");
}

static void say(const char *key, uint32_t value) {
    char line[64];
    size_t n = 0;
    int shift;
    while (*key != 0) {
        line[n++] = *key++;
    }
    line[n++] = ' ';
    for (shift = 28; shift >= 0; shift -= 4) {
        line[n++] = "0123456789ABCDEF"[value >> shift & 15u];
    }
    line[n++] = '\n';
    platform_write(line, n);
}

/* The same frames as calibration_frames in test_node_task.py. */
static void next_frame(uint32_t *state, uint32_t t, uint32_t depth, int8_t iq[128]) {
    uint32_t i;
    for (i = 0; i < 128; i++) {
        *state = *state * 1664525u + 1013904223u;
        iq[i] = (int8_t)(20u + i * 7u % 23u + t * (1u + i / 2u % 7u) / 3u % depth + (*state >> 24) % 5u);
    }
}

static NOINLINE int run_work(node *n) {
    int worked;
    budget_begin();
    worked = node_work(n);
    budget_end();
    return worked;
}

static void run_depth(node *n, uint32_t depth) {
    const aether_csi_facts facts = {.family = AETHER_CSI_CLASSIC};
    const uint16_t layout = node_layout(&facts);
    uint32_t state = 1, crc = 0, t;
    say("status", (uint32_t)node_calibrate(n, 0, NULL));
    for (t = 0; t < FRAMES; t++) {
        int8_t iq[128];
        uint32_t pushed = n->counts.pushed;
        next_frame(&state, t, depth, iq);
        (void)node_offer_iq(n, iq, 64, layout, 0, t, (uint64_t)t * 10000u + t * 7919u % 3000u);
        while (run_work(n)) {
            if (n->counts.pushed != pushed) {
                pushed = n->counts.pushed;
                crc = aether_crc32(crc, aether_stream_logits(&n->classifier->stream), 2 * sizeof(float));
            }
        }
    }
    say("pushed", n->counts.pushed);
    say("rejected", n->counts.rejected + n->counts.wrong_shape);
    say("crc", crc);
    say("calibration", n->calibration.state);
    say("threshold", n->calibration.threshold);
}

int firmware_main(void) {
    const node_wanted wanted = {0, 0, CONTEXT, MOTION_CACHE, 1};
    static node own;
    node_classifier *classifier = NULL;
    size_t need = 0;
    aether_status status = node_classifier_size(motion_blob, motion_bytes, &wanted, &need, NULL);
    say("memory", (uint32_t)need);
    if (status == AETHER_OK) {
        status = node_classifier_init(motion_blob, motion_bytes, &wanted, arena, sizeof arena, &classifier, NULL);
    }
    if (status == AETHER_OK) {
        status = node_queue_memory(classifier) <= sizeof waiting ? node_init(&own, classifier, 1, 1000000, waiting) : AETHER_E_MEMORY;
    }
    if (status == AETHER_OK) {
        run_depth(&own, 3);
        run_depth(&own, 40);
    }
    say("status", (uint32_t)status);
    return status != AETHER_OK;
}
