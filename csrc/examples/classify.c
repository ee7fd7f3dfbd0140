/* classify BLOB <FRAMES: reads frames of binary32 features and prints a line of class scores for each. */
#include <aether/stream.h>

#include <stdio.h>
#include <stdlib.h>

static uint32_t blob[1 << 16]; /* used in place; on a chip it stays in flash */
static float frame[512];

int main(int argc, char **argv) {
    const uint64_t context = 256; /* frames of history that the stream may see */
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    const size_t bytes = file != NULL ? fread(blob, 1, sizeof blob, file) : 0;
    aether_model model;
    aether_stream stream;
    aether_detail why = {"", "", 0, 0};
    size_t needed = 0;
    aether_status status = aether_model_open(&model, blob, bytes, NULL, &why);
    if (status == AETHER_OK) {
        status = aether_stream_size(&model, context, AETHER_BINARY32, &needed);
    }
    if (status == AETHER_OK) {
        status = aether_stream_init(&stream, &model, context, AETHER_BINARY32, malloc(needed), needed);
    }
    if (status != AETHER_OK || model.header.input_dim > sizeof frame / sizeof *frame) {
        fprintf(stderr, "classify: %s: %s: expected %s\n", aether_status_text(status), why.field, why.expected);
        return 1;
    }
    while (fread(frame, sizeof *frame, model.header.input_dim, stdin) == model.header.input_dim) {
        if (aether_stream_push(&stream, frame) != AETHER_OK) {
            continue; /* the frame holds NaN, for example: the stream is unchanged */
        }
        for (unsigned i = 0; i < model.header.n_classes; i++) {
            printf("%a%c", (double)aether_stream_logits(&stream)[i], i + 1u < model.header.n_classes ? ' ' : '\n');
        }
    }
    return 0;
}
