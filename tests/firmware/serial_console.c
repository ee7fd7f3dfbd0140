/* The parity application's commands on this computer: `serial_console GOLDEN SIZE` feeds standard input in pieces of SIZE bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "parity.h"

static int rests;

static void write_line(void *user, const char *text, size_t bytes) {
    (void)user;
    (void)fwrite(text, 1, bytes, stdout);
}

static void rest(void *user) {
    (void)user;
    rests++;
}

int main(int argc, char **argv) {
    static uint32_t vectors[1 << 16];
    static uint64_t scratch[1 << 16];
    static parity_console console;
    static report out = {.write = write_line};
    parity_io io = {.out = &out, .rest = rest, .chip = "a host", .vectors = vectors, .scratch = scratch};
    char piece[256];
    FILE *file;
    size_t size, count;
    if (argc != 3 || (size = strtoul(argv[2], NULL, 10)) == 0 || size > sizeof piece) {
        return 2;
    }
    file = fopen(argv[1], "rb");
    if (file == NULL) {
        return 2;
    }
    io.vectors_bytes = fread(vectors, 1, sizeof vectors, file);
    (void)fclose(file);
    io.scratch_bytes = parity_scratch(&io);
    if (io.scratch_bytes == 0 || io.scratch_bytes > sizeof scratch) {
        return 3;
    }
    while ((count = fread(piece, 1, size, stdin)) > 0) {
        parity_console_take(&console, &io, piece, count);
    }
    io.scratch_bytes--;
    printf("%d %d\n", parity_run(&io, "too-little"), rests > 0);
    return 0;
}
