/* What a stranger's program does with the core: runs a golden file, feeds a model from a blob, and prints what it gets as bits.
   data.h is made by the test: `blob` and `golden`, as words. */
#include "aether/stream.h"
#include "data.h"
#include "golden.h"
#include "say.h"

#define FRAMES 20u

static uint64_t scratch[98304 / 8], memory[65536 / 8];

static int runs_golden(void) {
    aether_golden_totals totals = {0, 0, 0, 0};
    const aether_status status =
        aether_golden_run(golden, sizeof golden, NULL, scratch, sizeof scratch, NULL, NULL, &totals);
    say("golden");
    say_bits((uint32_t)status);
    say_bits((uint32_t)totals.checks);
    say_bits((uint32_t)totals.failed);
    say("\n");
    return status == AETHER_OK && totals.checks > 0 && totals.failed == 0;
}

static int answers(void) {
    aether_model model;
    aether_stream stream;
    aether_detail why = {"", "", 0, 0};
    float frame[64];
    union {
        float value;
        uint32_t bits;
    } word;
    uint32_t t, i;
    aether_status status = aether_model_open(&model, blob, sizeof blob, NULL, &why);
    if (status == AETHER_OK) {
        status = aether_stream_init(&stream, &model, 64, AETHER_BINARY32, memory, sizeof memory);
    }
    for (t = 0; status == AETHER_OK && t < FRAMES; t++) {
        for (i = 0; i < model.header.input_dim && i < 64; i++) {
            frame[i] = (float)((t * 31u + i * 17u) % 64u) * 0.125f - 4.0f;
        }
        status = aether_stream_push(&stream, frame);
    }
    if (status != AETHER_OK) {
        say(aether_status_name(status));
        say(" ");
        say(why.field);
        say("\n");
        return 0;
    }
    say("logits");
    for (i = 0; i < model.header.n_classes; i++) {
        word.value = aether_stream_logits(&stream)[i];
        say_bits(word.bits);
    }
    say("\n");
    return 1;
}

int consume(void);

int consume(void) {
    const int good = runs_golden();
    return answers() && good ? 0 : 1;
}
