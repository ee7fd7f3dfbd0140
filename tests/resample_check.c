/* What a caller of aether/resample.h can do wrong, and that nothing has changed then. Prints what is wrong; ends with its count. */
#include <stdio.h>
#include <string.h>

#include "aether/aether.h"

static int wrong;

#define EXPECT(condition)                                  \
    do {                                                   \
        if (!(condition)) {                                \
            printf("line %d: %s\n", __LINE__, #condition); \
            wrong++;                                       \
        }                                                  \
    } while (0)

int main(void) {
    float memory[8], frame[4] = {1.0f, 2.0f, 3.0f, 4.0f}, out[4] = {9.0f, 9.0f, 9.0f, 9.0f}, kept[8];
    unsigned char bytes[64];
    aether_resampler r, before;
    aether_model model;
    aether_clock clock = {0, 0, 0, 0};
    size_t need = 77;
    int restarted = 5;

    EXPECT(aether_resample_size(4, &need) == AETHER_OK && need == sizeof memory);
    EXPECT(aether_resample_size(0, &need) == AETHER_E_CONFIG && need == sizeof memory);
    EXPECT(aether_resample_size(4, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_resample_size(SIZE_MAX / 8 + 1, &need) == AETHER_E_TOO_LARGE);

    memset(&r, 0x5A, sizeof r);
    before = r;
    EXPECT(aether_resample_init(NULL, 4, 10, 30, 0, memory, sizeof memory) == AETHER_E_ARGUMENT);
    EXPECT(aether_resample_init(&r, 4, 10, 30, 0, NULL, sizeof memory) == AETHER_E_ARGUMENT);
    EXPECT(aether_resample_init(&r, 4, 10, 30, 0, bytes + 1, sizeof memory) == AETHER_E_ALIGNMENT);
    EXPECT(aether_resample_init(&r, 0, 10, 30, 0, memory, sizeof memory) == AETHER_E_CONFIG);
    EXPECT(aether_resample_init(&r, 4, 0, 30, 0, memory, sizeof memory) == AETHER_E_CONFIG);
    EXPECT(aether_resample_init(&r, 4, 10, 9, 0, memory, sizeof memory) == AETHER_E_CONFIG);
    EXPECT(aether_resample_init(&r, 4, 10, AETHER_RESAMPLE_MAX_GAP + 1, 0, memory, sizeof memory) == AETHER_E_CONFIG);
    EXPECT(aether_resample_init(&r, 4, 10, 10 * AETHER_RESAMPLE_MAX_DUE + 1, 0, memory, sizeof memory) == AETHER_E_CONFIG);
    EXPECT(aether_resample_init(&r, 4, 10, 30, 2, memory, sizeof memory) == AETHER_E_CONFIG);
    EXPECT(aether_resample_init(&r, 4, 10, 30, 0, memory, sizeof memory - 1) == AETHER_E_MEMORY);
    memset(&model, 0, sizeof model);
    model.header.input_dim = 4;
    EXPECT(aether_resample_init_model(&r, &model, memory, sizeof memory) == AETHER_E_CONFIG);
    EXPECT(aether_resample_init_model(&r, NULL, memory, sizeof memory) == AETHER_E_ARGUMENT);
    EXPECT(memcmp(&r, &before, sizeof r) == 0);

    model.resample_period = 10;
    model.resample_max_gap = 30;
    EXPECT(aether_resample_init_model(&r, &model, memory, sizeof memory) == AETHER_OK);
    EXPECT(aether_resample_due(&r) == 0);
    EXPECT(aether_resample_take(&r, out) == AETHER_E_ARGUMENT);
    EXPECT(aether_resample_push(NULL, frame, 0, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_resample_push(&r, NULL, 0, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_resample_push(&r, frame, (uint64_t)1 << 63, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_resample_push(&r, (const float *)(const void *)(bytes + 1), 0, NULL) == AETHER_E_ALIGNMENT);
    EXPECT(aether_resample_push(&r, frame, 5, &restarted) == AETHER_OK && restarted == 0);
    EXPECT(aether_resample_due(&r) == 1 && aether_resample_time(&r) == 5);

    before = r;
    memcpy(kept, memory, sizeof kept);
    EXPECT(aether_resample_push(&r, frame, 15, &restarted) == AETHER_E_ARGUMENT); /* a grid frame is still due */
    EXPECT(aether_resample_take(&r, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_resample_take(&r, (float *)(void *)(bytes + 1)) == AETHER_E_ALIGNMENT);
    EXPECT(memcmp(&r, &before, sizeof r) == 0 && memcmp(memory, kept, sizeof kept) == 0 && out[0] == 9.0f);
    EXPECT(aether_resample_take(&r, out) == AETHER_OK && memcmp(out, frame, sizeof out) == 0);
    EXPECT(aether_resample_push(&r, frame, 36, &restarted) == AETHER_OK && restarted == 1);
    aether_resample_reset(&r);
    EXPECT(aether_resample_due(&r) == 0);
    EXPECT(aether_resample_push(&r, frame, 1, &restarted) == AETHER_OK && restarted == 0); /* begun anew, not restarted */

    EXPECT(aether_clock_read(&clock, 0xFFFFFFFFu) == 0 && aether_clock_read(&clock, 1) == 2);
    EXPECT(aether_clock_read(&clock, 0) == 2 && clock.restarts == 1 && aether_clock_read(&clock, 0x7FFFFFFFu) == 0x80000001u);
    EXPECT(aether_clock_read(&clock, 0xFFFFFFFFu) == 0x80000001u && clock.restarts == 2); /* half a period: a step back */
    return wrong;
}
