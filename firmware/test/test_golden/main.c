/* The golden vectors, every bit. */
#include "parity.h"
#include "platform.h"

int firmware_main(void) {
    return parity_run(bare_io(), "test");
}
