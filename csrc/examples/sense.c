/* sense BLOB <PACKETS: classifies raw channel state information as it arrives from a radio.

   Each packet is a 32-bit counter of microseconds, then an I and a Q byte for each subcarrier of the radio. Packets that arrive
   unevenly are put on the model's time grid first, where the model asks for one. Every change of the predicted class is
   printed with its time. */
#include <aether/aether.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t blob[1 << 16];

static void check(const char *where, aether_status status, const aether_detail *why) {
    if (status != AETHER_OK) {
        fprintf(stderr, "sense: %s: %s: %s: expected %s\n", where, aether_status_text(status), why->field, why->expected);
        exit(1);
    }
}

/* The name of class `index`; names are stored one after the other. */
static const char *class_name(const aether_model *model, size_t index) {
    const char *name = model->class_names;
    while (name != NULL && index-- > 0) {
        name += strlen(name) + 1;
    }
    return name != NULL ? name : "?";
}

/* Pushes one frame into the stream and prints its class if that is a new one. */
static void classify(aether_stream *stream, const float *frame, uint64_t microseconds, size_t *newest) {
    size_t best = 0;
    if (aether_stream_push(stream, frame) != AETHER_OK) {
        return; /* the stream is unchanged */
    }
    const float *logits = aether_stream_logits(stream);
    for (size_t i = 1; i < stream->model->header.n_classes; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    if (best != *newest) {
        printf("%.3f %s\n", (double)microseconds * 1e-6, class_name(stream->model, best));
        *newest = best;
    }
}

int main(int argc, char **argv) {
    const uint64_t context = 256;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    const size_t bytes = file != NULL ? fread(blob, 1, sizeof blob, file) : 0;
    aether_detail why = {"", "", 0, 0};
    aether_model model;
    aether_stream stream;
    aether_resampler grid;
    aether_clock clock = {0, 0, 0, 0};
    size_t needed, newest = SIZE_MAX;
    check(argc == 2 ? argv[1] : "usage: sense BLOB", aether_model_open(&model, blob, bytes, NULL, &why), &why);
    check("memory", aether_stream_size(&model, context, AETHER_BINARY32, &needed), &why);
    check("stream", aether_stream_init(&stream, &model, context, AETHER_BINARY32, malloc(needed), needed), &why);
    if (model.resample_period != 0) {
        check("memory", aether_resample_size(model.header.input_dim, &needed), &why);
        check("resampler", aether_resample_init_model(&grid, &model, malloc(needed), needed), &why);
    }

    const size_t n_pairs = model.subcarriers != NULL ? model.n_pairs : model.header.input_dim;
    int8_t *const iq = malloc(2 * n_pairs);
    float *const frame = malloc(model.header.input_dim * sizeof *frame);
    uint32_t counter;
    while (fread(&counter, sizeof counter, 1, stdin) == 1 && fread(iq, 2, n_pairs, stdin) == n_pairs) {
        const uint64_t time = aether_clock_read(&clock, counter);
        int restarted = 0;
        if (aether_csi_frame(&model, NULL, iq, n_pairs, 0, frame) != AETHER_OK) {
            continue;
        }
        if (model.resample_period == 0) {
            classify(&stream, frame, time, &newest);
            continue;
        }
        if (aether_resample_push(&grid, frame, time, &restarted) != AETHER_OK) {
            continue;
        }
        if (restarted) { /* the first packet, or a gap too long to bridge */
            aether_stream_reset(&stream);
        }
        while (aether_resample_due(&grid) > 0) {
            const uint64_t due = aether_resample_time(&grid);
            if (aether_resample_take(&grid, frame) == AETHER_OK) {
                classify(&stream, frame, due, &newest);
            }
        }
    }
    return 0;
}
