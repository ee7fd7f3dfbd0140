/* A plugin for QEMU that counts executed instructions, function by function, between two marks of the program.
   Arguments: functions=FILE (lines "address bytes name", hexadecimal, ascending), begin=NAME, end=NAME, out=FILE. Each time the
   first instruction of `begin` is reached everything is counted from zero; at `end`, and when the program stops, one line is
   written: "end NUMBER:COUNT ..." ("stop ..." the last time), NUMBER being the line of the function in the file.
   Debian packages no header for plugins: what is used of their interface, version 1, is declared here. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info_t qemu_info_t;
enum { INLINE_ADD_U64 = 0, NO_REGISTERS = 0 };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned, void *), int, void *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t, const qemu_info_t *, int, char **);

#define MOST 8192

static struct {
    uint64_t address, bytes, executed;
} functions[MOST + 1]; /* the last one: code of no function */
static size_t n_functions;
static uint64_t begin_at = UINT64_MAX, end_at = UINT64_MAX;
static FILE *out;

/* The function that holds the address; n_functions when none does. */
static size_t function_of(uint64_t address) {
    size_t low = 0, high = n_functions;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (functions[middle].address <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 && address - functions[low - 1].address < functions[low - 1].bytes ? low - 1 : n_functions;
}

static void write_line(const char *kind) {
    fputs(kind, out);
    for (size_t f = 0; f <= n_functions; f++) {
        if (functions[f].executed != 0) {
            fprintf(out, " %zu:%" PRIu64, f, functions[f].executed);
        }
    }
    fputc('\n', out);
}

static void at_begin(unsigned cpu, void *user) {
    (void)cpu;
    (void)user;
    for (size_t f = 0; f <= n_functions; f++) {
        functions[f].executed = 0;
    }
}

static void at_end(unsigned cpu, void *user) {
    (void)cpu;
    (void)user;
    write_line("end");
}

static void at_exit(qemu_plugin_id_t id, void *user) {
    (void)id;
    (void)user;
    write_line("stop");
    fclose(out);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        const uint64_t address = qemu_plugin_insn_vaddr(instruction);
        if (address == begin_at || address == end_at) {
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, address == begin_at ? at_begin : at_end, NO_REGISTERS, NULL);
        }
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD_U64, &functions[function_of(address)].executed, 1);
    }
}

static const char *option(int argc, char **argv, const char *name) {
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], name, strlen(name)) == 0 && argv[i][strlen(name)] == '=') {
            return argv[i] + strlen(name) + 1;
        }
    }
    fprintf(stderr, "count: %s=... is missing\n", name);
    return NULL;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    const char *table = option(argc, argv, "functions"), *result = option(argc, argv, "out");
    const char *begin = option(argc, argv, "begin"), *end = option(argc, argv, "end");
    char name[256];
    (void)info;
    if (table == NULL || result == NULL || begin == NULL || end == NULL) {
        return 1;
    }
    FILE *in = fopen(table, "r");
    out = fopen(result, "w");
    if (in == NULL || out == NULL) {
        fprintf(stderr, "count: cannot open %s\n", in == NULL ? table : result);
        return 1;
    }
    while (n_functions < MOST && fscanf(in, "%" SCNx64 " %" SCNx64 " %255s", &functions[n_functions].address,
                                        &functions[n_functions].bytes, name) == 3) {
        begin_at = strcmp(name, begin) == 0 ? functions[n_functions].address : begin_at;
        end_at = strcmp(name, end) == 0 ? functions[n_functions].address : end_at;
        n_functions++;
    }
    const bool whole = feof(in) && begin_at != UINT64_MAX && end_at != UINT64_MAX;
    fclose(in);
    if (!whole) {
        fprintf(stderr, "count: %s: not a whole table with %s and %s\n", table, begin, end);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
