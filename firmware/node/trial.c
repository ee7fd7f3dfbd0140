#include "trial.h"

#include "counter.h"
#include "slot_layout.h"

void node_trial_begin(node_trial *trial, const node_flash *flash, unsigned slot, const node_slot_verdict *verdict) {
    trial->flash = verdict->confirmed ? NULL : flash;
    trial->slot = slot;
    trial->ran = 0;
    trial->trial_at = verdict->trial_at;
    trial->frames = trial->classifications = trial->dropped = trial->late = 0;
}

int node_trial_open(const node_trial *trial) {
    return trial->flash != NULL;
}

void node_trial_ran(node_trial *trial) {
    if (trial->flash != NULL) {
        trial->ran = 1;
        (void)node_slot_set(trial->flash, trial->slot, SLOT_RAN_AT, SLOT_RAN); /* unwritten, it costs the next start a trial */
    }
}

int node_trial_count(node_trial *trial, const node *n) {
    const int offered = node_queue_waiting(&n->queue) > 0 || node_counter_get(&n->counts.wrong_shape) > 0;
    if (trial->flash != NULL && trial->trial_at != 0 && offered) {
        if (node_slot_set(trial->flash, trial->slot, trial->trial_at, 0) != 0) {
            return 0;
        }
        trial->trial_at = 0;
    }
    return 1;
}

int node_trial_passed(node_trial *trial, const node *n, uint32_t late) {
    const uint32_t dropped = node_queue_dropped(&n->queue);
    if (trial->flash == NULL || !trial->ran) {
        return 0;
    }
    if (dropped != trial->dropped || late != trial->late) {
        trial->dropped = dropped;
        trial->late = late;
        trial->frames = n->counts.frames;
        trial->classifications = n->counts.classifications;
        return 0;
    }
    if (n->counts.frames - trial->frames < NODE_TRIAL_FRAMES || n->counts.classifications == trial->classifications) {
        return 0;
    }
    if (node_slot_confirm(trial->flash, trial->slot) != 0) {
        return -1;
    }
    trial->flash = NULL;
    return 1;
}
