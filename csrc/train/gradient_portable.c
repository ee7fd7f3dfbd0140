/* The variant of every processor. */
#include "lane_scalar.h"

#include "lane_gradient.h"

GRADIENT_KERNEL(portable);
