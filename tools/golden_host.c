/* Runs golden files on this computer: golden_host [-k KERNELS] [-v] FILE...
   Prints every check that fails (with -v every check) and a summary for each file and kernel variant; exit code 1 when one failed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../csrc/golden/golden.h"

static int verbose;

static void print(void *user, const aether_golden_result *r) {
    const char *kernels = user;
    if (r->passed) {
        if (verbose) {
            printf("ok   %-8s %s [%s] %lu words\n", kernels, r->name, r->path, (unsigned long)r->compared);
        }
        return;
    }
    printf("FAIL %-8s %s [%s]", kernels, r->name, r->path);
    if (r->status != r->expected_status) {
        printf(" status %s, expected %s", aether_status_name(r->status), aether_status_name(r->expected_status));
    }
    if (r->mismatches > 0 && r->first == SIZE_MAX) {
        printf(" CRC of all words %08lX, expected %08lX", (unsigned long)r->got, (unsigned long)r->expected);
    } else if (r->mismatches > 0) {
        printf(" %lu of %lu words differ, first %lu: %08lX, expected %08lX", (unsigned long)r->mismatches,
               (unsigned long)r->compared, (unsigned long)r->first, (unsigned long)r->got, (unsigned long)r->expected);
    }
    printf("\n");
}

static void *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    void *data = NULL;
    long size;
    if (file == NULL) {
        return NULL;
    }
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > 0 && fseek(file, 0, SEEK_SET) == 0) {
        *bytes = (size_t)size;
        data = malloc(*bytes);
        if (data != NULL && fread(data, 1, *bytes, file) != *bytes) {
            free(data);
            data = NULL;
        }
    }
    (void)fclose(file);
    return data;
}

/* 0 when everything passed. */
static int run(const char *path, const void *data, size_t bytes, const aether_kernels *kernels) {
    aether_golden_totals totals;
    size_t need = 0;
    void *scratch = NULL;
    aether_status status = aether_golden_scratch(data, bytes, kernels, &need);
    char name[32];
    if (status == AETHER_OK) {
        scratch = malloc(need);
        status = scratch != NULL ? AETHER_OK : AETHER_E_MEMORY;
    }
    (void)snprintf(name, sizeof name, "%s", kernels->name);
    if (status == AETHER_OK) {
        status = aether_golden_run(data, bytes, kernels, scratch, need, print, name, &totals);
    }
    free(scratch);
    if (status != AETHER_OK) {
        printf("%s: %s\n", path, aether_status_text(status));
        return 1;
    }
    printf("%s: %s: %lu cases, %lu checks, %lu words, %lu failed, scratch %lu bytes\n", path, kernels->name,
           (unsigned long)totals.cases, (unsigned long)totals.checks, (unsigned long)totals.compared,
           (unsigned long)totals.failed, (unsigned long)need);
    return totals.failed != 0;
}

int main(int argc, char **argv) {
    const char *only = NULL;
    int i, failed = 0, files = 0;
    for (i = 1; i < argc; i++) {
        size_t bytes = 0, k;
        void *data;
        if (strcmp(argv[i], "-k") == 0 && i + 1 < argc) {
            only = argv[++i];
            continue;
        }
        if (strcmp(argv[i], "-v") == 0) {
            verbose = 1;
            continue;
        }
        data = read_file(argv[i], &bytes);
        if (data == NULL) {
            printf("%s: cannot be read\n", argv[i]);
            return 2;
        }
        files++;
        for (k = 0; aether_kernels_at(k) != NULL; k++) {
            const aether_kernels *kernels = aether_kernels_at(k);
            if (aether_kernels_usable(kernels) && (only == NULL || strcmp(only, kernels->name) == 0)) {
                failed |= run(argv[i], data, bytes, kernels);
            }
        }
        free(data);
    }
    if (files == 0) {
        printf("usage: golden_host [-k KERNELS] [-v] FILE...\n");
        return 2;
    }
    return failed;
}
