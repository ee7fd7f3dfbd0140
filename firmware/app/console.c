/* Commands over a serial line. */
#include "parity.h"

/* Characters up to the next blank or the end. */
static size_t word(const char *text, size_t length) {
    size_t n = 0;
    while (n < length && text[n] != ' ' && text[n] != '\t') {
        n++;
    }
    return n;
}

static size_t blanks(const char *text, size_t length) {
    size_t n = 0;
    while (n < length && (text[n] == ' ' || text[n] == '\t')) {
        n++;
    }
    return n;
}

static int same(const char *text, size_t length, const char *name) {
    size_t n = 0;
    while (n < length && name[n] != 0 && text[n] == name[n]) {
        n++;
    }
    return n == length && name[n] == 0;
}

int parity_command(const parity_io *io, const char *line, size_t length) {
    char id[PARITY_ID + 1];
    size_t verb, at = blanks(line, length), n, i;
    int runs;
    line += at;
    length -= at;
    verb = word(line, length);
    runs = same(line, verb, "parity");
    if (!runs && !same(line, verb, "info")) {
        return 0;
    }
    at = verb + blanks(line + verb, length - verb);
    n = word(line + at, length - at);
    for (i = 0; i < n && i < PARITY_ID; i++) {
        id[i] = line[at + i];
    }
    id[i] = 0;
    if (runs) {
        (void)parity_run(io, id);
    } else {
        parity_info(io, id);
    }
    return 1;
}

static void line_done(parity_console *console, const parity_io *io) {
    const int known = !console->too_long && parity_command(io, console->line, console->length);
    if (!known && (console->too_long || blanks(console->line, console->length) < console->length)) {
        report_begin(io->out, "unknown");
        report_number(io->out, "length", console->length);
        report_text(io->out, "expected", "parity,info");
        report_end(io->out);
    }
    console->length = 0;
    console->too_long = 0;
}

void parity_console_take(parity_console *console, const parity_io *io, const char *bytes, size_t count) {
    size_t i;
    for (i = 0; i < count; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r') {
            line_done(console, io);
        } else if (console->length < sizeof console->line) {
            console->line[console->length++] = bytes[i];
        } else {
            console->too_long = 1;
        }
    }
}
