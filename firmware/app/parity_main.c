/* Bare metal: runs the golden vectors once; the exit code is the result. */
#include "parity.h"
#include "platform.h"

int firmware_main(void) {
    return parity_run(bare_io(), "boot");
}
