/* Bare metal, as a board does it: runs the golden vectors at start, then whenever a line asks. Never ends. */
#include "parity.h"
#include "platform.h"

int firmware_main(void) {
    static parity_console console;
    const parity_io *io = bare_io();
    (void)parity_run(io, "boot");
    for (;;) {
        char bytes[16];
        parity_console_take(&console, io, bytes, platform_read(bytes, sizeof bytes));
    }
}
