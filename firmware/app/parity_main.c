/* Bare metal, once: runs the golden vectors and ends with the answer. */
#include "bare.h"
#include "platform.h"

int firmware_main(void) {
    return parity_run(bare_io(), "boot");
}
