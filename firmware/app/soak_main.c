/* Bare metal: a short soak of the model that stands in place of the golden vectors; the exit code is the result. */
#include "parity.h"
#include "platform.h"
#include "soak.h"

#define PUSHES 3000u
#define STRETCH 250u
#define CONTEXT 64u

int firmware_main(void) {
    const parity_io *io = bare_io();
    aether_model model;
    soak s;
    size_t done = 0;
    int good = aether_model_open(&model, io->vectors, io->vectors_bytes, NULL, NULL) == AETHER_OK &&
               soak_begin(&s, &model, CONTEXT, AETHER_BINARY16, 1, io->scratch, io->scratch_bytes) == AETHER_OK;
    for (; good && done < PUSHES; done += STRETCH) {
        good = soak_push(&s, STRETCH) && soak_forgets(&s) && soak_restores(&s);
    }
    report_begin(io->out, "soak");
    report_number(io->out, "pushes", good ? (size_t)s.stream.length : done);
    report_number(io->out, "compared", good ? (size_t)s.compared : 0);
    report_text(io->out, "status", good ? "OK" : "DIFFERENT");
    report_end(io->out);
    return good ? 0 : 1;
}
