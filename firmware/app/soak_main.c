/* Bare metal: a short soak of the model that stands in place of the golden vectors; the exit code is the result. */
#include "parity.h"
#include "platform.h"
#include "soak.h"

#define PUSHES 3000u
#define INTERVAL 250u
#define CONTEXT 64u

int firmware_main(void) {
    const parity_io *io = bare_io();
    aether_model model;
    soak s;
    size_t done = 0;
    int equal = aether_model_open(&model, io->vectors, io->vectors_bytes, NULL, NULL) == AETHER_OK &&
               soak_begin(&s, &model, CONTEXT, AETHER_BINARY16, 1, io->scratch, io->scratch_bytes) == AETHER_OK;
    for (; equal && done < PUSHES; done += INTERVAL) {
        equal = soak_push(&s, INTERVAL) && soak_forgets(&s) && soak_restores(&s);
    }
    report_begin(io->out, "soak");
    report_number(io->out, "pushes", equal ? (size_t)s.stream.length : done);
    report_number(io->out, "compared", equal ? (size_t)s.compared : 0);
    report_text(io->out, "status", equal ? "OK" : "DIFFERENT");
    report_end(io->out);
    return equal ? 0 : 1;
}
