/* The one lane algorithm, compiled for one instruction set: include after a lane_<instruction set>.h, then LANE_TABLES(name). */
#include "aether/attention.h"

#include "../bits.h"
#include "../candidates.h"
#include "../pattern.h"
#include "../pyramid.h"
#include "../sizes.h"

#include "variants.h"

#define LANE_INFINITY aether_from_bits(0x7F800000u)

#include "lane_numeric.h"

#include "lane_linear.h"

#include "lane_query.h"

#include "lane_slots.h"

#include "lane_attention.h"

#define LANE_TABLES(NAME)                                                                                   \
    const aether_kernels aether_kernels_##NAME = {#NAME,      lane_linear, lane_all_finite,                 \
                                                  lane_widen, lane_narrow, lane_attend_query};              \
    const aether_sequence_kernels aether_sequence_##NAME = {lane_plan_bytes, lane_prepare, lane_rows_bytes, \
                                                            lane_forward_rows}
