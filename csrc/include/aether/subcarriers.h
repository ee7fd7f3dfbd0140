/* Which subcarriers the I/Q pairs of a CSI frame are (docs/spec/subcarriers.md): the layouts of Espressif's chips, and the pairs of wanted
   subcarriers in any layout. A subcarrier has a band, the training field that it was measured in, and a signed number that counts from
   the centre of that band. */
#ifndef AETHER_SUBCARRIERS_H
#define AETHER_SUBCARRIERS_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ANY: of a frame, L-LTF or HT-LTF of 20 MHz, not known which; of a wanted subcarrier, either. Both have the same subcarriers, 312.5 kHz
   apart, around the same centre. */
typedef enum aether_band {
    AETHER_BAND_ANY,
    AETHER_BAND_LLTF,
    AETHER_BAND_HTLTF,   /* 20 MHz */
    AETHER_BAND_HTLTF40, /* 40 MHz: counted from the centre of both channels */
    AETHER_BAND_HELTF,
    AETHER_BAND_STBC, /* the second HT-LTF of an STBC packet */
    AETHER_BAND_STBC40,
    AETHER_BAND_COUNT
} aether_band;

#define AETHER_MAX_SUBCARRIER 511 /* numbers reach from -511 to 511 */

/* `count` neighbouring pairs of one band, with the numbers first, first + step, ... */
typedef struct aether_run {
    int16_t first;
    uint16_t count;
    uint8_t step, band;
} aether_run;

#define AETHER_LAYOUT_RUNS 6
typedef struct aether_layout {
    aether_run runs[AETHER_LAYOUT_RUNS]; /* in the order of the pairs */
    size_t n_runs;
} aether_layout;

typedef enum aether_csi_family {
    AETHER_CSI_CLASSIC, /* ESP32, S2, S3, C3 */
    AETHER_CSI_C5,      /* C5, C61 */
    AETHER_CSI_C6
} aether_csi_family;

#define AETHER_CSI_UNKNOWN 0xFFu

/* What the driver says about a frame. Every field but `family` and `twelve_bits` may be AETHER_CSI_UNKNOWN. */
typedef struct aether_csi_facts {
    uint8_t family;
    uint8_t twelve_bits; /* 1: pairs of 12-bit values */
    uint8_t format;      /* 0 without HT, or only L-LTF is recorded; 1 HT, VHT; 2 HE */
    uint8_t forty;       /* 1: a packet of 40 MHz */
    uint8_t stbc;        /* 1: an STBC packet */
    uint8_t secondary;   /* secondary channel: 0 none, 1 above, 2 below */
} aether_csi_facts;

/* The layout of a frame of n_pairs pairs. AETHER_E_SHAPE: none with these facts has so many pairs. AETHER_E_CONFIG: the facts leave more
   than one. */
aether_status aether_layout_of(const aether_csi_facts *facts, size_t n_pairs, aether_layout *layout);

/* Wanted subcarriers, feature by feature. Those of band ANY are all taken from one band of the frame: the first of L-LTF, HT-LTF and ANY
   that has them all. L-LTF has those from -26 to 26: its pairs beyond are empty. */
typedef struct aether_wanted {
    const uint8_t *bands;
    const int16_t *numbers;
    size_t n;
} aether_wanted;

/* index[f] = the pair of wanted subcarrier f among the pairs of `runs`, in all at most 65536. AETHER_E_SHAPE: the frame lacks one;
   *missing (may be NULL) is the first such f. */
aether_status aether_subcarriers_find(const aether_run *runs, size_t n_runs, const aether_wanted *wanted, uint16_t *index,
                                      size_t *missing);

/* Private, the same one subcarrier at a time: the band from which wanted subcarriers of band ANY are taken, and the pair of wanted
   subcarrier f, SIZE_MAX when the frame lacks it. */
uint8_t aether_any_band(const aether_run *runs, size_t n_runs, const aether_wanted *wanted);
size_t aether_pair_of(const aether_run *runs, size_t n_runs, const aether_wanted *wanted, uint8_t any_band, size_t f);

#ifdef __cplusplus
}
#endif
#endif
