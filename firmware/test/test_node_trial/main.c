/* A blob on trial: starts of a task that runs it in time or not, with power failing at every byte of their flags. */
#include "check.h"
#include "platform.h"
#include "slot_layout.h"
#include "trial.h"

#include "../slot_node.h"

/* A start that the task continues: it repeats the check, counts its first frame, and passes. Power may fail at any byte of it. */
static node task_node;
static uint64_t queue_memory[256];

static void offer(uint32_t frames) {
    const float frame[2] = {1.0f, 2.0f};
    for (; frames > 0; frames--) {
        (void)node_offer(&task_node, frame, 2, 0);
    }
}

static int right_in_task = 1; /* whether the check has the correct bits there */

static int serve(uint32_t frames) {
    static node_trial own;
    unsigned char packet[NODE_CLASS_BYTES];
    const int used = start_only();
    uint64_t now = 0;
    if (used < 0) {
        return used;
    }
    CHECK(node_init(&task_node, trial.classifier, 1, 1000, queue_memory) == AETHER_OK);
    node_trial_begin(&own, &sim.flash, (unsigned)used, verdicts + used);
    if (right_in_task) {
        node_trial_ran(&own);
    }
    (void)node_classify(&task_node, now, packet);
    for (; frames > 0; frames--) {
        offer(1);
        (void)node_trial_count(&own, &task_node);
        while (node_work(&task_node)) {
        }
        now += 1000;
        (void)node_classify(&task_node, now, packet);
        (void)node_trial_passed(&own, &task_node, 0);
    }
    return used;
}

static int is_confirmed(unsigned slot) {
    return memcmp(at(slot, CONFIRM), "CONF", 4) == 0;
}

static unsigned trials_used(unsigned slot) {
    unsigned i, used = 0;
    for (i = 0; i < 3; i++) {
        used += memcmp(at(slot, TRIAL + 16 * i), "\xFF\xFF\xFF\xFF", 4) != 0;
    }
    return used;
}

static void trial_ends_with_predictions(void) {
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && choose() == 0);
    CHECK(update(0, NODE_EVERY) == NODE_SLOT_OK);
    CHECK(serve(NODE_TRIAL_FRAMES - 1) == 1 && !is_confirmed(1) && trials_used(1) == 1);
    CHECK(memcmp(at(1, RAN), "RAN!", 4) == 0);
    CHECK(serve(NODE_TRIAL_FRAMES) == 1 && is_confirmed(1) && trials_used(1) == 2);
    CHECK(serve(0) == 1 && trials_used(1) == 2 && trial.asked == 1);
}

static void starts_without_frames_cost_one_trial(void) {
    int i;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && choose() == 0);
    CHECK(update(0, NODE_EVERY) == NODE_SLOT_OK);
    for (i = 0; i < 20; i++) {
        CHECK(serve(0) == 1 && !is_confirmed(1));
    }
    CHECK_EQUAL(1, trials_used(1));
    CHECK(serve(1) == 1 && serve(1) == 1 && trials_used(1) == 3);
    CHECK(serve(1) == 0 && runs(0, NODE_PLAIN)); /* frames, but never enough predictions: back to the old one */
    CHECK_EQUAL(NODE_SLOT_NO_TRIALS, verdicts[1].fault);
    CHECK_EQUAL(1, target(0)); /* where the next update goes */
}

static void model_without_predictions_is_kept_when_there_is_no_other(void) {
    int i;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK);
    for (i = 0; i < 6; i++) {
        CHECK(serve(1) == 0 && runs(0, NODE_PLAIN) && !is_confirmed(0));
    }
    CHECK_EQUAL(3, trials_used(0));
    CHECK_EQUAL(1, target(-1));
    CHECK(serve(NODE_TRIAL_FRAMES) == 0 && is_confirmed(0)); /* and it may still show itself */
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK);
    for (i = 0; i < 3; i++) { /* it never came as far as the task: it is not tried again */
        CHECK(start_only() == 0);
    }
    CHECK(start_only() == -1 && verdicts[0].fault == NODE_SLOT_NO_TRIALS);
    CHECK_EQUAL(0, trial.asked);
}

static void trial_needs_frames_in_time(void) {
    static node_trial own;
    unsigned char packet[NODE_CLASS_BYTES];
    uint64_t now = 0;
    uint32_t i;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && start_only() == 0);
    CHECK(node_init(&task_node, trial.classifier, 1, 10, queue_memory) == AETHER_OK);
    node_trial_begin(&own, &sim.flash, 0, verdicts);
    CHECK(node_trial_open(&own));
    node_trial_ran(&own);
    (void)node_classify(&task_node, now, packet);
    for (i = 0; i < 100; i++) { /* each batch overflows the queue: this model is too slow for these frames */
        offer(NODE_QUEUE_FRAMES + 1);
        while (node_work(&task_node)) {
        }
        CHECK(node_classify(&task_node, now += 10, packet));
        CHECK(!node_trial_passed(&own, &task_node, 0));
    }
    for (i = 0; i < 100; i++) { /* each frame takes longer than a period */
        offer(1);
        while (node_work(&task_node)) {
        }
        CHECK(node_classify(&task_node, now += 10, packet));
        CHECK(!node_trial_passed(&own, &task_node, i + 1));
    }
    CHECK(!is_confirmed(0) && node_trial_open(&own));
    for (i = 0; i < NODE_TRIAL_FRAMES; i++) { /* frames alone are no prediction */
        offer(1);
        while (node_work(&task_node)) {
        }
        CHECK(!node_trial_passed(&own, &task_node, 100));
    }
    CHECK(node_classify(&task_node, now += 10, packet));
    CHECK(node_trial_passed(&own, &task_node, 100) && is_confirmed(0) && !node_trial_open(&own));
    CHECK(!node_trial_passed(&own, &task_node, 100));
}

static void model_with_other_bits_in_the_task_is_never_confirmed(void) {
    int i;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && choose() == 0);
    CHECK(update(0, NODE_EVERY) == NODE_SLOT_OK);
    right_in_task = 0;
    for (i = 0; i < 3; i++) {
        CHECK(serve(4 * NODE_TRIAL_FRAMES) == 1 && !is_confirmed(1));
    }
    CHECK(serve(0) == 0 && runs(0, NODE_PLAIN)); /* its trials are used: back to the old one */
    right_in_task = 1;
}

static void frames_of_a_wrong_shape_count_as_a_trial(void) {
    static node_trial own;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && serve(0) == 0 && start_only() == 0);
    CHECK(node_init(&task_node, trial.classifier, 1, 1000, queue_memory) == AETHER_OK);
    node_trial_begin(&own, &sim.flash, 0, verdicts);
    (void)node_trial_count(&own, &task_node);
    CHECK_EQUAL(1, trials_used(0));
    CHECK(node_offer(&task_node, NULL, 3, 0) == NODE_WRONG_SHAPE);
    (void)node_trial_count(&own, &task_node);
    (void)node_trial_count(&own, &task_node);
    CHECK_EQUAL(2, trials_used(0));
}

static int fail_to_write(void *user, unsigned slot, size_t offset, const void *from, size_t bytes) {
    (void)user, (void)slot, (void)offset, (void)from, (void)bytes;
    return 1;
}

/* A flag that the flash does not take is written again with the next frame; until then the trial neither counts nor ends. */
static void flags_of_a_trial_are_written_again(void) {
    static node_trial own;
    unsigned char packet[NODE_CLASS_BYTES];
    uint64_t now = 0;
    uint32_t i;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && serve(0) == 0 && start_only() == 0);
    CHECK_EQUAL(1, trials_used(0));
    CHECK(node_init(&task_node, trial.classifier, 1, 10, queue_memory) == AETHER_OK);
    node_trial_begin(&own, &sim.flash, 0, verdicts);
    node_trial_ran(&own);
    CHECK(node_trial_count(&own, &task_node) == 1); /* without a frame there is nothing to count */
    (void)node_classify(&task_node, now, packet);
    sim.flash.write = fail_to_write;
    for (i = 0; i < NODE_TRIAL_FRAMES; i++) {
        offer(1);
        CHECK(node_trial_count(&own, &task_node) == 0);
        while (node_work(&task_node)) {
        }
        (void)node_classify(&task_node, now += 10, packet);
    }
    CHECK_EQUAL(1, trials_used(0));
    CHECK(node_trial_passed(&own, &task_node, 0) == -1 && node_trial_open(&own) && !is_confirmed(0));
    sim.flash.write = flash_write;
    offer(1);
    CHECK(node_trial_count(&own, &task_node) == 1);
    CHECK_EQUAL(2, trials_used(0));
    CHECK(node_trial_count(&own, &task_node) == 1);
    CHECK_EQUAL(2, trials_used(0));
    CHECK(node_trial_passed(&own, &task_node, 0) == 1 && !node_trial_open(&own) && is_confirmed(0));
}

static void update_waits_for_the_end_of_a_trial(void) {
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && choose() == 0);
    CHECK(update(0, NODE_EVERY) == NODE_SLOT_OK && start_only() == 1);
    keep();
    CHECK(update(1, NODE_HALF) == NODE_SLOT_ON_TRIAL); /* slot 0 is the way back */
    CHECK(memcmp(kept_a, slot_a, SLOT) == 0 && memcmp(kept_b, slot_b, SLOT) == 0);
    CHECK_EQUAL(9, target(1));
    CHECK_EQUAL(1, target(-1)); /* once it is stopped, it is the one that is replaced */
    CHECK(choose() == 1);
    CHECK(update(1, NODE_HALF) == NODE_SLOT_OK && choose() == 0 && runs(0, NODE_HALF));
}

static unsigned char undecided_a[SLOT], undecided_b[SLOT];

static void allow_undecided_bits(void) {
    memset(undecided_a, 0, SLOT);
    memset(undecided_b, 0, SLOT);
    sim.undecided[0] = undecided_a;
    sim.undecided[1] = undecided_b;
}

/* Starts the only model until power fails after `cut` bytes of flags. */
static void cut_start(uint64_t cut) {
    flash_restart(&sim);
    sim.power = cut;
    (void)serve(NODE_TRIAL_FRAMES);
    flash_restart(&sim);
}

#define FLAG_BYTES 24u /* of a start: a trial, ran, a trial of the first frame, commit, ran, confirm */

/* A first, only model: power fails in the flags of two starts, at any two bytes, and in more once it ran. It always runs afterwards,
   however the bits in between read. */
static void power_lost_in_the_flags_of_the_only_model(void) {
    uint64_t first, second, third;
    uint32_t seed, k;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK);
    keep();
    for (first = 0; first <= FLAG_BYTES; first += OTHERS > 1 ? 5 : 1) {
        for (second = 0; second <= FLAG_BYTES; second += OTHERS > 1 ? 3 : 1) {
            for (third = 0; third <= FLAG_BYTES; third += OTHERS > 1 ? 11 : 4) {
                for (seed = 0; seed < (OTHERS > 1 ? 1u : 2u); seed++) {
                    bring_back();
                    allow_undecided_bits();
                    sim.noise = (uint32_t)(first * 331u + second * 17u + third) * 2654435761u + seed;
                    cut_start(first);
                    cut_start(second);
                    if (first > 8) { /* the first one wrote *ran* */
                        cut_start(third);
                        cut_start(FLAG_BYTES - third);
                    }
                    for (k = 0; k < 6; k++) {
                        const int used = serve(k % 2 == 0 ? NODE_TRIAL_FRAMES : 0);
                        if (used != 0 || !runs(0, NODE_PLAIN)) {
                            CHECK_NEVER("the only model is lost");
                        }
                    }
                    CHECK(is_confirmed(0));
                }
            }
        }
    }
}

/* A start that works makes the flags of a confirmed model certain: a bit that reads either way after a power failure could lose it later. */
static void flags_of_a_confirmed_model_are_written_again(void) {
    static const size_t flags[] = {SLOT_COMMIT_AT, SLOT_RAN_AT, SLOT_CONFIRM_AT};
    uint32_t i, seed, bit;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK);
    CHECK(serve(NODE_TRIAL_FRAMES) == 0 && is_confirmed(0));
    keep();
    for (i = 0; i < sizeof flags / sizeof *flags; i++) {
        for (seed = 0; seed < 8; seed++) {
            bring_back();
            allow_undecided_bits();
            for (bit = 1; (sim.bytes[0][flags[i]] & bit) != 0; bit *= 2) {
            }
            undecided_a[flags[i]] = (unsigned char)bit; /* one that was cleared */
            sim.noise = seed * 2654435761u;
            if (serve(NODE_TRIAL_FRAMES) == 0) {
                CHECK(runs(0, NODE_PLAIN) && undecided_a[flags[i]] == 0);
            } else {
                CHECK(flags[i] == SLOT_COMMIT_AT); /* it read as an update that was cut */
            }
        }
    }
}

/* Power fails in an update, and the bits that were being changed read either way: each start runs the old model or the new one, and after
   the first start with the new one, no start runs another. */
static void undecided_bits_of_an_update(void) {
    uint64_t cut, total, step = OTHERS > 1 ? 97 : 3;
    uint32_t k, newer = 0;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && choose() == 0);
    keep();
    sim.spent = 0;
    CHECK(update(0, NODE_HALF) == NODE_SLOT_OK);
    total = sim.spent;
    for (cut = 0; cut < total; cut += cut + 40 >= total ? 1 : cut + 40 + step > total ? total - 40 - cut : step) {
        int used_new = 0;
        bring_back();
        allow_undecided_bits();
        sim.noise = (uint32_t)cut * 7919u + 1u;
        sim.harsh = cut % 2 == 0;
        sim.power = cut;
        (void)update(0, NODE_HALF);
        flash_restart(&sim);
        for (k = 0; k < (cut + 4 < total ? 8u : 200u); k++) { /* the last bytes are those of the commit flag */
            const int used = choose();
            if (!(used == 1 ? runs(1, NODE_HALF) : used == 0 && !used_new && runs(0, NODE_PLAIN))) {
                CHECK_NEVER("another model than before");
            }
            used_new |= used == 1;
        }
        newer += (uint32_t)used_new;
    }
    CHECK(newer > 0);
}

int firmware_main(void) {
    check_test("trial_ends_with_predictions", trial_ends_with_predictions);
    check_test("starts_without_frames_cost_one_trial", starts_without_frames_cost_one_trial);
    check_test("model_without_predictions_is_kept_when_there_is_no_other",
               model_without_predictions_is_kept_when_there_is_no_other);
    check_test("trial_needs_frames_in_time", trial_needs_frames_in_time);
    check_test("model_with_other_bits_in_the_task_is_never_confirmed", model_with_other_bits_in_the_task_is_never_confirmed);
    check_test("frames_of_a_wrong_shape_count_as_a_trial", frames_of_a_wrong_shape_count_as_a_trial);
    check_test("flags_of_a_trial_are_written_again", flags_of_a_trial_are_written_again);
    check_test("update_waits_for_the_end_of_a_trial", update_waits_for_the_end_of_a_trial);
    check_test("power_lost_in_the_flags_of_the_only_model", power_lost_in_the_flags_of_the_only_model);
    check_test("flags_of_a_confirmed_model_are_written_again", flags_of_a_confirmed_model_are_written_again);
    check_test("undecided_bits_of_an_update", undecided_bits_of_an_update);
    return check_end();
}
