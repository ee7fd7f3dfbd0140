/* WebAssembly: the page (or run.mjs) gives `write` and calls `run`. The stack is what lies in memory; locals live elsewhere. */
#include "platform.h"

__attribute__((import_module("env"), import_name("write"))) void host_write(const char *text, size_t bytes);
__attribute__((export_name("run"))) int run(void);

void platform_write(const char *text, size_t bytes) {
    host_write(text, bytes);
}

int run(void) {
    return firmware_main();
}
