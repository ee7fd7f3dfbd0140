#include "check.h"

#include "platform.h"
#include "report.h"

#define REPORTED 20u /* failed checks of one test that are shown; all are counted */

static void write_line(void *user, const char *text, size_t bytes) {
    (void)user;
    platform_write(text, bytes);
}

static report out;
static size_t tests, failed_tests, checks, failed_checks;

/* The end of a path is what tells files apart. */
static const char *last_part(const char *path) {
    const char *part = path;
    for (; *path != 0; path++) {
        if (*path == '/' || *path == '\\') {
            part = path + 1;
        }
    }
    return part;
}

/* Counts; 1 when a failure is to be shown, its line begun. */
static int shown(int holds, const char *what, const char *file, int line) {
    checks++;
    if (holds) {
        return 0;
    }
    if (++failed_checks > REPORTED) {
        return 0;
    }
    report_begin(&out, "check");
    report_text(&out, "file", last_part(file));
    report_number(&out, "line", (size_t)line);
    report_text(&out, "what", what);
    return 1;
}

int check_true(int holds, const char *what, const char *file, int line) {
    if (shown(holds, what, file, line)) {
        report_end(&out);
    }
    return holds;
}

static void report_wide(const char *key, uint64_t value) {
    if (value <= SIZE_MAX) {
        report_number(&out, key, (size_t)value);
        return;
    }
    report_bits(&out, key, (uint32_t)value); /* chips write no longer number: two halves */
    report_bits(&out, "above", (uint32_t)(value >> 32));
}

int check_number(uint64_t expected, uint64_t got, const char *what, const char *file, int line) {
    if (shown(expected == got, what, file, line)) {
        report_wide("expected", expected);
        report_wide("got", got);
        report_end(&out);
    }
    return expected == got;
}

int check_bits(uint32_t expected, uint32_t got, const char *what, const char *file, int line) {
    if (shown(expected == got, what, file, line)) {
        report_bits(&out, "expected", expected);
        report_bits(&out, "got", got);
        report_end(&out);
    }
    return expected == got;
}

void check_test(const char *name, void (*test)(void)) {
    out.write = write_line;
    checks = failed_checks = 0;
    test();
    tests++;
    failed_tests += failed_checks != 0 || checks == 0; /* what checks nothing shows nothing */
    report_begin(&out, "test");
    report_text(&out, "name", name);
    report_number(&out, "checks", checks);
    report_number(&out, "failed", failed_checks);
    report_end(&out);
}

int check_end(void) {
    const size_t used = platform_stack_used();
    out.write = write_line;
    report_begin(&out, "end");
    report_number(&out, "tests", tests);
    report_number(&out, "failed_tests", failed_tests);
    report_number(&out, "stack", used);
    report_number(&out, "stack_size", platform_stack_size());
    report_number(&out, "lines", out.lines + 1);
    report_end(&out);
    return tests == 0 || failed_tests != 0 || (used != 0 && used == platform_stack_size());
}
