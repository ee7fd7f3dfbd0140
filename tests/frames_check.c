/* Frames before the model: layouts, subcarriers by number, amplitudes, the grid in time. Prints what is wrong; ends with its count. */
#include <string.h>

#include "aether/aether.h"

#include "expect.h"

static uint32_t aligned[4];
static unsigned char *const place = (unsigned char *)aligned;

static void check_layouts(void) {
    const uint8_t unknown = AETHER_CSI_UNKNOWN;
    aether_layout layout;
    uint8_t family, twelve;
    size_t pairs, found = 0;
    aether_csi_facts facts = {AETHER_CSI_CLASSIC, 0, unknown, unknown, unknown, unknown};
    EXPECT(aether_layout_of(NULL, 64, &layout) == AETHER_E_ARGUMENT);
    EXPECT(aether_layout_of(&facts, 64, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_layout_of(&facts, 63, &layout) == AETHER_E_SHAPE);
    for (family = 0; family < 4; family++) {
        for (twelve = 0; twelve < 2; twelve++) {
            for (pairs = 1; pairs < 320; pairs++) {
                unsigned mask;
                for (mask = 0; mask < 4 * 3 * 3 * 4; mask++) {
                    const unsigned format = mask % 4, forty = mask / 4 % 3, stbc = mask / 12 % 3, beside = mask / 36;
                    aether_status status;
                    size_t r, sum = 0;
                    facts = (aether_csi_facts){family, twelve, format < 3 ? (uint8_t)format : unknown,
                                               forty < 2 ? (uint8_t)forty : unknown, stbc < 2 ? (uint8_t)stbc : unknown,
                                               beside < 3 ? (uint8_t)beside : unknown};
                    status = aether_layout_of(&facts, pairs, &layout);
                    if (status != AETHER_OK) {
                        EXPECT(status == AETHER_E_SHAPE || status == AETHER_E_CONFIG);
                        continue;
                    }
                    for (r = 0; r < layout.n_runs; r++) {
                        sum += layout.runs[r].count;
                        EXPECT(layout.runs[r].band < AETHER_BAND_COUNT);
                    }
                    EXPECT(sum == pairs);
                    found++;
                }
            }
        }
    }
    EXPECT(found > 100);
}

/* Where subcarriers stand in layouts of each order, as a frame is read: pair by pair from the front, or from behind. */
static void check_orders(void) {
    static const struct {
        uint8_t family, twelve, format, forty, stbc, secondary, band;
        int16_t number;
        uint16_t pairs, pair;
    } places[] = {
        {AETHER_CSI_CLASSIC, 0, 0, 0, 0, 0, AETHER_BAND_LLTF, 0, 64, 0},
        {AETHER_CSI_CLASSIC, 0, 0, 0, 0, 0, AETHER_BAND_LLTF, -32, 64, 32},
        {AETHER_CSI_CLASSIC, 0, 0, 0, 0, 0, AETHER_BAND_LLTF, -1, 64, 63},
        {AETHER_CSI_CLASSIC, 0, 0, 0, 0, 1, AETHER_BAND_LLTF, -32, 64, 0},
        {AETHER_CSI_CLASSIC, 0, 1, 0, 0, 0, AETHER_BAND_HTLTF, 28, 128, 64 + 28},
        {AETHER_CSI_CLASSIC, 0, 1, 0, 0, 0, AETHER_BAND_HTLTF, -28, 128, 64 + 36},
        {AETHER_CSI_CLASSIC, 0, 1, 0, 1, 2, AETHER_BAND_STBC, -32, 190, 64 + 63},
        {AETHER_CSI_CLASSIC, 0, 1, 0, 1, 1, AETHER_BAND_STBC, 31, 188, 187},
        {AETHER_CSI_CLASSIC, 0, 1, 1, 0, 2, AETHER_BAND_HTLTF40, -64, 192, 64 + 64},
        {AETHER_CSI_CLASSIC, 0, 1, 1, 1, 1, AETHER_BAND_STBC40, -60, 306, 64 + 121 + 61},
        {AETHER_CSI_C5, 0, 0, 0, 0, 0, AETHER_BAND_LLTF, -26, 53, 0},
        {AETHER_CSI_C5, 1, 0, 0, 0, 0, AETHER_BAND_LLTF, 2, 26, 13},
        {AETHER_CSI_C5, 1, 0, 0, 0, 0, AETHER_BAND_LLTF, -2, 26, 12},
        {AETHER_CSI_C5, 0, 1, 0, 0, 0, AETHER_BAND_HTLTF, 28, 57, 56},
        {AETHER_CSI_C5, 0, 1, 1, 0, 1, AETHER_BAND_HTLTF40, -58, 117, 0},
        {AETHER_CSI_C5, 0, 2, 0, 0, 0, AETHER_BAND_HELTF, 122, 245, 244},
        {AETHER_CSI_C6, 0, 0, 0, 0, 0, AETHER_BAND_LLTF, 1, 64, 33},
        {AETHER_CSI_C6, 0, 1, 0, 0, 0, AETHER_BAND_HTLTF, -28, 64, 4},
        {AETHER_CSI_C6, 0, 1, 1, 0, 1, AETHER_BAND_HTLTF40, 63, 128, 127},
    };
    size_t i;
    for (i = 0; i < sizeof places / sizeof places[0]; i++) {
        const aether_csi_facts facts = {places[i].family, places[i].twelve, places[i].format,
                                        places[i].forty,  places[i].stbc,   places[i].secondary};
        const aether_wanted wanted = {&places[i].band, &places[i].number, 1};
        aether_layout layout;
        uint16_t index = 9999;
        EXPECT(aether_layout_of(&facts, places[i].pairs, &layout) == AETHER_OK);
        EXPECT(aether_subcarriers_find(layout.runs, layout.n_runs, &wanted, &index, NULL) == AETHER_OK && index == places[i].pair);
    }
}

static void check_pairs(void) {
    static const aether_run runs[3] = {{0, 2, 1, AETHER_BAND_LLTF}, {-2, 2, 1, AETHER_BAND_LLTF}, {-4, 3, 4, AETHER_BAND_HTLTF}};
    static const uint8_t lltf[2] = {AETHER_BAND_LLTF, AETHER_BAND_LLTF}, any[2] = {AETHER_BAND_ANY, AETHER_BAND_ANY};
    static const aether_run whole[2] = {{-32, 64, 1, AETHER_BAND_LLTF}, {-32, 64, 1, AETHER_BAND_HTLTF}};
    static const int16_t near[2] = {-1, 1}, far[2] = {-4, 4}, odd[2] = {-4, 3}, none[2] = {100, 0};
    static const int16_t outer[2] = {-26, 26}, empty[2] = {-26, 27};
    aether_wanted wanted = {lltf, near, 2};
    uint16_t index[2] = {9, 9};
    size_t missing = 7;
    EXPECT(aether_subcarriers_find(NULL, 3, &wanted, index, &missing) == AETHER_E_ARGUMENT);
    EXPECT(aether_subcarriers_find(runs, 3, NULL, index, &missing) == AETHER_E_ARGUMENT);
    EXPECT(aether_subcarriers_find(runs, 3, &wanted, NULL, &missing) == AETHER_E_ARGUMENT);
    EXPECT(aether_subcarriers_find(runs, 3, &wanted, index, &missing) == AETHER_OK && index[0] == 3 && index[1] == 1);
    wanted.bands = any;
    EXPECT(aether_subcarriers_find(runs, 3, &wanted, index, NULL) == AETHER_OK && index[0] == 3 && index[1] == 1);
    wanted.numbers = far;
    EXPECT(aether_subcarriers_find(runs, 3, &wanted, index, &missing) == AETHER_OK && index[0] == 4 && index[1] == 6);
    wanted.numbers = odd;
    EXPECT(aether_subcarriers_find(runs, 3, &wanted, index, &missing) == AETHER_E_SHAPE && missing == 0);
    wanted.numbers = none;
    EXPECT(aether_subcarriers_find(runs, 3, &wanted, index, NULL) == AETHER_E_SHAPE);
    wanted.numbers = outer; /* either band: L-LTF has them up to 26 alone, its pairs beyond are empty */
    EXPECT(aether_subcarriers_find(whole, 1, &wanted, index, &missing) == AETHER_OK && index[0] == 6 && index[1] == 58);
    wanted.numbers = empty;
    EXPECT(aether_subcarriers_find(whole, 1, &wanted, index, &missing) == AETHER_E_SHAPE && missing == 1);
    EXPECT(aether_subcarriers_find(whole, 2, &wanted, index, NULL) == AETHER_OK && index[0] == 64 + 6 && index[1] == 64 + 59);
    wanted.bands = lltf;
    EXPECT(aether_subcarriers_find(whole, 1, &wanted, index, NULL) == AETHER_OK && index[0] == 6 && index[1] == 59);
    EXPECT(aether_subcarriers_find(NULL, 0, &wanted, index, &missing) == AETHER_E_SHAPE);
    wanted.n = 0;
    EXPECT(aether_subcarriers_find(NULL, 0, &wanted, NULL, &missing) == AETHER_OK);
}

static void check_amplitudes(void) {
    static const int8_t iq[6] = {3, 4, 0, 0, -128, -128};
    static int16_t words[6] = {3, 4, -2048, 2047, 0, -1};
    static const uint16_t second[2] = {2, 0}, beyond[1] = {3};
    float out[4] = {9.0f, 9.0f, 9.0f, 9.0f};
    const uint16_t *unaligned = (const uint16_t *)(const void *)(place + 1);
    float *odd = (float *)(void *)(place + 2);
#define AMPLITUDE(iq_, n_, s_, k_, o_) aether_csi_amplitude(iq_, n_, s_, k_, o_)
    EXPECT(AMPLITUDE(NULL, 3, NULL, 3, out) == AETHER_E_ARGUMENT);
    EXPECT(AMPLITUDE(iq, 3, NULL, 3, NULL) == AETHER_E_ARGUMENT);
    EXPECT(AMPLITUDE(iq, 3, NULL, 2, out) == AETHER_E_SHAPE);
    EXPECT(AMPLITUDE(iq, 3, beyond, 1, out) == AETHER_E_SHAPE);
    EXPECT(AMPLITUDE(iq, 3, unaligned, 1, out) == AETHER_E_ALIGNMENT);
    EXPECT(AMPLITUDE(iq, 3, NULL, 3, odd) == AETHER_E_ALIGNMENT);
    EXPECT(AMPLITUDE(iq, 3, NULL, 3, out) == AETHER_OK && out[0] == 5.0f && out[1] == 0.0f);
    EXPECT(AMPLITUDE(iq, 3, second, 2, out) == AETHER_OK && out[1] == 5.0f);
    EXPECT(aether_csi_amplitude12(words, 3, NULL, 3, out) == AETHER_OK && out[0] == 5.0f && out[2] == 1.0f);
    EXPECT(aether_csi_amplitude12(words, 3, second, 2, out) == AETHER_OK && out[0] == 1.0f);
    EXPECT(aether_csi_amplitude12((const int16_t *)(const void *)(place + 1), 1, NULL, 1, out) == AETHER_E_ALIGNMENT);
    EXPECT(aether_csi_amplitude12(NULL, 1, NULL, 1, out) == AETHER_E_ARGUMENT);
    words[1] = 2048;
    EXPECT(aether_csi_amplitude12(words, 3, NULL, 3, out) == AETHER_E_ARGUMENT);
    words[1] = -2049;
    EXPECT(aether_csi_amplitude12(words, 3, NULL, 3, out) == AETHER_E_ARGUMENT);
    EXPECT(aether_csi_frame(NULL, NULL, iq, 3, 0, out) == AETHER_E_ARGUMENT);
}

static void check_resampler(void) {
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
    EXPECT(aether_resample_push(&r, frame, 1, &restarted) == AETHER_OK && restarted == 0); /* a first frame, no restart */

    EXPECT(aether_clock_read(&clock, 0xFFFFFFFFu) == 0 && aether_clock_read(&clock, 1) == 2);
    EXPECT(aether_clock_read(&clock, 0) == 2 && clock.restarts == 1 && aether_clock_read(&clock, 0x7FFFFFFFu) == 0x80000001u);
    EXPECT(aether_clock_read(&clock, 0xFFFFFFFFu) == 0x80000001u && clock.restarts == 2); /* half a period: a step back */
}

int main(void) {
    check_layouts();
    check_orders();
    check_pairs();
    check_amplitudes();
    check_resampler();
    return ended();
}
