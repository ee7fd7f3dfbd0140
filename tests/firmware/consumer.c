/* A program that uses the packed core: it runs a golden file, feeds a model from a blob, and prints the logits as bits. It runs on a
   computer and on a bare chip. consumers.py writes data.h: `blob` and `golden`, as words. */
#include <stddef.h>
#include <stdint.h>

#include "aether/stream.h"
#include "data.h"
#include "golden.h"

#ifdef CONSUMER_BARE
#include "platform.h"
#else
#include <stdio.h>
#endif

#define FRAMES 20u

static uint64_t scratch[98304 / 8], memory[65536 / 8];

static void say(const char *text) {
    size_t length = 0;
    while (text[length] != 0) {
        length++;
    }
#ifdef CONSUMER_BARE
    platform_write(text, length);
#else
    (void)fwrite(text, 1, length, stdout);
#endif
}

static void say_bits(uint32_t bits) {
    char text[10] = " ";
    int i;
    for (i = 0; i < 8; i++) {
        text[1 + i] = "0123456789abcdef"[bits >> (28 - 4 * i) & 15u];
    }
    text[9] = 0;
    say(text);
}

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

static int runs_model(void) {
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
    return runs_model() && good ? 0 : 1;
}
