/* Two slots, with power failing at every byte of an update and of a choice. */
#include "aether/crc32.h"
#include "check.h"
#include "platform.h"
#include "slot_image.h"

#include "../slot_node.h"

static void empty_slots(void) {
    unsigned slot = 9;
    begin();
    CHECK_EQUAL(UINT64_MAX, (uint64_t)(int64_t)choose());
    CHECK(verdicts[0].fault == NODE_SLOT_EMPTY && verdicts[1].fault == NODE_SLOT_EMPTY);
    sim.flash.slot_bytes[1] = 0;
    CHECK(choose() == -1);
    CHECK(verdicts[1].fault == NODE_SLOT_ABSENT);
    CHECK_EQUAL(0, trial.asked);
    CHECK_EQUAL(0, sim.spent);
    CHECK(node_slot_target(&sim.flash, 0, &slot) == NODE_SLOT_ABSENT);
    CHECK(target(-1) == 0);
    CHECK_EQUAL(9, slot);
    CHECK(update(0, NODE_PLAIN) == NODE_SLOT_ABSENT);
    CHECK_EQUAL(0, sim.spent);
}

static void updates_alternate(void) {
    static const int order[] = {NODE_PLAIN, NODE_EVERY, NODE_HALF, NODE_OVERFLOW, NODE_PLAIN};
    int used = -1;
    uint32_t i;
    begin();
    for (i = 0; i < sizeof order / sizeof order[0]; i++) {
        CHECK(update(used, order[i]) == NODE_SLOT_OK);
        used = choose();
        CHECK_EQUAL(i % 2u, used);
        CHECK(runs(used, order[i]));
        CHECK_EQUAL(i, verdicts[used].header.sequence);
        CHECK(verdicts[1 - used].fault == (i == 0 ? NODE_SLOT_EMPTY : NODE_SLOT_NOT_TRIED));
        CHECK(memcmp(at((unsigned)used, CONFIRM), "CONF", 4) == 0);
        CHECK(choose() == used && trial.asked == 1); /* confirmed: no trial is used */
        CHECK(at((unsigned)used, TRIAL)[0] == 0 && at((unsigned)used, TRIAL + 16)[0] == 0xFF);
    }
}

/* Writes a word, and renews the header CRC when `seal` is set. */
static void set_u32(unsigned slot, size_t offset, uint32_t value, int seal) {
    uint32_t crc;
    memcpy(at(slot, offset), &value, 4);
    if (seal) {
        crc = aether_crc32(0, at(slot, 0), 0x3C);
        memcpy(at(slot, 0x3C), &crc, 4);
    }
}

static void sequences_wrap(void) {
    static const uint32_t pairs[][3] = {{0, 1, 1}, {1, 0, 0}, {0xFFFFFFFFu, 0, 1}, {0, 0xFFFFFFFFu, 0}, {5, 5, 0},
                                        {0x7FFFFFFFu, 0xFFFFFFFEu, 1}, {0, 0x80000000u, 0}, {0x80000000u, 0, 0},
                                        {0xFFFFFFFFu, 0x7FFFFFFEu, 1}};
    size_t i;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && update(0, NODE_HALF) == NODE_SLOT_OK);
    node_slot_confirm(&sim.flash, 0);
    node_slot_confirm(&sim.flash, 1);
    for (i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        int used;
        set_u32(0, 8, pairs[i][0], 1);
        set_u32(1, 8, pairs[i][1], 1);
        CHECK_EQUAL(pairs[i][2], choose());
        keep();
        for (used = 0; used < 2; used++) { /* whatever the sequence numbers, an update is the newer one */
            bring_back();
            CHECK(update(used, NODE_EVERY) == NODE_SLOT_OK);
            CHECK(choose() == 1 - used && runs(1 - used, NODE_EVERY));
        }
        bring_back();
    }
}

static void damaged_headers(void) {
    static const struct {
        size_t offset;
        uint32_t value;
        int seal;
        node_slot_fault fault;
    } cases[] = {
        {0x00, 0x12345678u, 1, NODE_SLOT_MAGIC},     {0x04, 0x00400002u, 1, NODE_SLOT_VERSION},
        {0x04, 0x00440001u, 1, NODE_SLOT_FIELD},     {0x0C, 240, 1, NODE_SLOT_FIELD},
        {0x0C, 260, 1, NODE_SLOT_FIELD},             {0x0C, 0xFFFFFFF0u, 1, NODE_SLOT_TOO_LARGE},
        {0x10, 27, 1, NODE_SLOT_FIELD},              {0x10, SLOT - 255u, 1, NODE_SLOT_TOO_LARGE},
        {0x10, 0xFFFFFFFFu, 1, NODE_SLOT_TOO_LARGE}, {0x18, 0, 1, NODE_SLOT_FIELD},
        {0x18, 65, 1, NODE_SLOT_FIELD},              {0x28, 1, 1, NODE_SLOT_FIELD},
        {0x38, 0x01000000u, 1, NODE_SLOT_FIELD},     {0x3C, 0, 0, NODE_SLOT_HEADER_CRC},
        {COMMIT, 0xFFFFFFFFu, 0, NODE_SLOT_UNCOMMITTED}, {COMMIT, 0, 0, NODE_SLOT_UNCOMMITTED},
        {COMMIT, 0x54494D41u, 0, NODE_SLOT_UNCOMMITTED}, {0x14, 7, 1, NODE_SLOT_BLOB_CRC},
        {0x24, 7, 1, NODE_SLOT_CHECK},               {0x1C, 7, 1, NODE_SLOT_CHECK},
    };
    size_t i;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && update(0, NODE_HALF) == NODE_SLOT_OK);
    keep();
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bring_back();
        set_u32(1, cases[i].offset, cases[i].value, cases[i].seal);
        CHECK(choose() == 0 && runs(0, NODE_PLAIN));
        CHECK_EQUAL(cases[i].fault, verdicts[1].fault);
        CHECK(node_slot_text(verdicts[1].fault)[0] != 0);
    }
    for (i = 0; i < 0x3Cu * 8u; i++) { /* any one bit of the header */
        bring_back();
        at(1, i / 8)[0] ^= (unsigned char)(1u << i % 8);
        CHECK(choose() == 0 && runs(0, NODE_PLAIN));
    }
    for (i = 0; i < NODE_BLOB[NODE_HALF].bytes * 8u; i++) { /* any one bit of the blob: its own CRC's are seen by opening it */
        bring_back();
        at(1, 256 + i / 8)[0] ^= (unsigned char)(1u << i % 8);
        CHECK(choose() == 0 && runs(0, NODE_PLAIN));
        CHECK(verdicts[1].fault == (i / 8 < NODE_BLOB[NODE_HALF].bytes - 4 ? NODE_SLOT_BLOB_CRC : NODE_SLOT_BLOB));
    }
}

static void rejected_blob_leaves_the_other_slot(void) {
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && update(0, NODE_EVERY) == NODE_SLOT_OK);
    memset(&trial, 0, sizeof trial);
    trial.wanted.context = 64;
    trial.wanted.n_classes = 2; /* the newer one has three */
    trial.memory = memory;
    trial.bytes = sizeof memory;
    CHECK(slot_trial_choose(&sim.flash, &trial, verdicts) == 0);
    CHECK(runs(0, NODE_PLAIN));
    CHECK(verdicts[1].fault == NODE_SLOT_BLOB && verdicts[1].status == AETHER_E_SHAPE && verdicts[1].detail.found == 3);
    trial.wanted.n_classes = 9;
    sim.mapped[0] = 0;
    CHECK(slot_trial_choose(&sim.flash, &trial, verdicts) == -1);
    CHECK(verdicts[0].status == AETHER_E_SHAPE && verdicts[1].status == AETHER_E_SHAPE);
    CHECK(sim.mapped[0] == 0 && sim.mapped[1] == 0);
}

static void blob_that_crashes_the_node(void) {
    int i;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK);
    CHECK(choose() == 0);
    CHECK(update(0, NODE_EVERY) == NODE_SLOT_OK);
    for (i = 0; i < 3; i++) { /* the node crashes during the check, and restarts */
        CHECK(start_only() == 1);
        CHECK_EQUAL(1, trial.asked);
        flash_restart(&sim);
    }
    CHECK(choose() == 0 && runs(0, NODE_PLAIN));
    CHECK(verdicts[1].fault == NODE_SLOT_NO_TRIALS);
    CHECK_EQUAL(1, trial.asked);
    CHECK_EQUAL(1, target(0));
    CHECK(update(0, NODE_HALF) == NODE_SLOT_OK && choose() == 1 && runs(1, NODE_HALF)); /* and can be replaced */
}

static void update_without_slot_in_use_keeps_the_confirmed_one(void) {
    node_slot_header header = header_of(&NODE_BLOB[NODE_HALF]);
    node_slot_update u;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && choose() == 0);
    header.check_binary32 ^= 1u;
    header.check_binary16 ^= 1u;
    CHECK(update_with(-1, &NODE_BLOB[NODE_HALF], &header, 9) == NODE_SLOT_OK); /* newer, pending, and wrong */
    CHECK_EQUAL(1, target(-1));
    CHECK(node_slot_update_begin(&u, &sim.flash, -1, &header) == NODE_SLOT_OK); /* this update is never finished */
    CHECK(choose() == 0 && runs(0, NODE_PLAIN));
    CHECK(update(-1, NODE_EVERY) == NODE_SLOT_OK && choose() == 1);
    CHECK_EQUAL(0, target(-1)); /* both are confirmed: the older one is replaced */
}

static void rejected_update_touches_nothing(void) {
    node_slot_header header = header_of(&NODE_BLOB[NODE_HALF]);
    node_slot_update u;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && update(0, NODE_EVERY) == NODE_SLOT_OK);
    keep();
    sim.spent = 0;
    header.blob_length = SLOT - 255u;
    CHECK(update_with(1, &NODE_BLOB[NODE_HALF], &header, 8) == NODE_SLOT_TOO_LARGE);
    header.blob_length = 0xFFFFFFFFu;
    CHECK(update_with(1, &NODE_BLOB[NODE_HALF], &header, 8) == NODE_SLOT_TOO_LARGE);
    header.blob_length = 27;
    CHECK(update_with(1, &NODE_BLOB[NODE_HALF], &header, 8) == NODE_SLOT_FIELD);
    header = header_of(&NODE_BLOB[NODE_HALF]);
    header.check_frames = 0;
    CHECK(update_with(1, &NODE_BLOB[NODE_HALF], &header, 8) == NODE_SLOT_FIELD);
    CHECK_EQUAL(0, sim.spent);
    CHECK(memcmp(kept_a, slot_a, SLOT) == 0 && memcmp(kept_b, slot_b, SLOT) == 0);

    header = header_of(&NODE_BLOB[NODE_HALF]); /* an error found later leaves the slot in use unchanged */
    header.blob_crc ^= 1u;
    CHECK(update_with(1, &NODE_BLOB[NODE_HALF], &header, 8) == NODE_SLOT_BLOB_CRC);
    CHECK(choose() == 1 && runs(1, NODE_EVERY) && verdicts[0].fault == NODE_SLOT_EMPTY);
    header.blob_crc ^= 1u;
    CHECK(node_slot_update_begin(&u, &sim.flash, 1, &header) == NODE_SLOT_OK);
    CHECK(node_slot_update_finish(&u) == NODE_SLOT_ORDER); /* too early */
    CHECK(node_slot_update_finish(&u) == NODE_SLOT_ORDER);
    CHECK(node_slot_update_write(&u, NODE_BLOB_HALF, 1) == NODE_SLOT_ORDER);
    CHECK(node_slot_update_begin(&u, &sim.flash, 1, &header) == NODE_SLOT_OK);
    CHECK(node_slot_update_write(&u, NODE_BLOB_HALF, header.blob_length) == NODE_SLOT_OK);
    CHECK(node_slot_update_write(&u, NODE_BLOB_HALF, 1) == NODE_SLOT_ORDER); /* too much */
    CHECK(node_slot_update_finish(&u) == NODE_SLOT_ORDER);
    CHECK(choose() == 1 && runs(1, NODE_EVERY));
    CHECK_EQUAL(0, memcmp(kept_b, slot_b, 0x50));
}

static void flash_write_fails(void) {
    node_slot_header header = header_of(&NODE_BLOB[NODE_HALF]);
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && choose() == 0);
    CHECK(update(0, NODE_EVERY) == NODE_SLOT_OK);
    sim.power = 0; /* the first trial flag cannot be written: the blob is not tried */
    CHECK(choose() == -1);
    CHECK(verdicts[1].fault == NODE_SLOT_WRITE);
    flash_restart(&sim);
    set_u32(1, 0xA0, 0, 0); /* a cell of the erased area that lost its charge */
    CHECK(choose() == 1);
    CHECK(update_with(1, &NODE_BLOB[NODE_HALF], &header, 5) == NODE_SLOT_OK);
    CHECK(choose() == 0 && runs(0, NODE_HALF));
}

/* Slot `confirmed` holds the blob in use; the other one is empty (other == -1), or holds a newer blob, without trials left when `spent`. */
static void confirm_one(unsigned confirmed, int other, int spent) {
    begin();
    CHECK(update(1 - (int)confirmed, NODE_PLAIN) == NODE_SLOT_OK);
    CHECK(choose() == (int)confirmed);
    if (other >= 0) {
        CHECK(update((int)confirmed, other) == NODE_SLOT_OK);
    }
    if (spent) {
        set_u32(1u - confirmed, TRIAL, 0, 0);
        set_u32(1u - confirmed, TRIAL + 16, 0, 0);
        set_u32(1u - confirmed, TRIAL + 32, 0, 0);
    }
    keep();
    sim.touched[0] = sim.touched[1] = 0;
    sim.reads = 0;
}

/* Each read of an update fails, once or permanently, with and without a slot in use. */
static void read_failures(unsigned confirmed, int other, int spent, int in_use) {
    uint64_t reads, k, rejected = 0;
    confirm_one(confirmed, other, spent);
    CHECK(update(in_use, NODE_EVERY) == NODE_SLOT_OK);
    CHECK(sim.touched[confirmed] == 0 && sim.touched[1u - confirmed] > 0);
    reads = sim.reads;
    CHECK(reads >= 4 && reads < 20);
    for (k = 0; k < 2u * reads; k++) {
        node_slot_fault fault;
        bring_back();
        sim.touched[0] = sim.touched[1] = 0;
        sim.reads = 0;
        sim.bad_from = k % reads;
        sim.bad_to = k < reads ? sim.bad_from + 1u : UINT64_MAX;
        fault = update(in_use, NODE_EVERY);
        rejected += fault == NODE_SLOT_READ;
        CHECK_EQUAL(0, sim.touched[confirmed]);
        sim.bad_from = sim.bad_to = 0;
        if (fault == NODE_SLOT_OK) { /* then it is what the next start runs */
            CHECK(choose() == 1 - (int)confirmed && runs(1 - (int)confirmed, NODE_EVERY));
        } else {
            CHECK(fault == NODE_SLOT_READ);
            CHECK(!runs(choose(), NODE_EVERY));
            set_u32(1u - confirmed, COMMIT, 0, 0); /* whatever this slot holds, the confirmed one still runs */
            CHECK(choose() == (int)confirmed && runs((int)confirmed, NODE_PLAIN));
        }
    }
    CHECK_EQUAL(2u * reads - (in_use >= 0), rejected); /* with a slot in use, the one that is overwritten need not be readable */
}

static void read_failures_keep_the_confirmed_slot(void) {
    unsigned confirmed;
    for (confirmed = 0; confirmed < 2; confirmed++) {
        int known;
        for (known = 0; known < 2; known++) {
            const int in_use = known ? (int)confirmed : -1;
            read_failures(confirmed, -1, 0, in_use);
            read_failures(confirmed, NODE_HALF, 0, in_use);
            read_failures(confirmed, NODE_HALF, 1, in_use);
        }
        confirm_one(confirmed, -1, 0); /* without an update: either no target, or the other slot */
        for (sim.bad_from = 0; sim.bad_from < 2; sim.bad_from++) {
            unsigned slot = 9;
            sim.reads = 0;
            sim.bad_to = sim.bad_from + 1u;
            CHECK(node_slot_target(&sim.flash, -1, &slot) == NODE_SLOT_READ);
            CHECK_EQUAL(9, slot);
        }
    }
}

/* A start uses the slots that it can read, and writes nothing but flags. */
static void read_failures_while_choosing(void) {
    uint64_t k;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && choose() == 0);
    CHECK(update(0, NODE_EVERY) == NODE_SLOT_OK && choose() == 1);
    keep();
    for (k = 0; k < 3; k++) {
        bring_back();
        sim.reads = 0;
        sim.bad_from = k;
        sim.bad_to = k + 1u;
        CHECK(choose() == (k == 1 ? 0 : 1));
        CHECK((verdicts[k % 2].fault == NODE_SLOT_READ) == (k < 2));
        CHECK(memcmp(kept_a, slot_a, SLOT) == 0 && memcmp(kept_b, slot_b, SLOT) == 0);
        sim.bad_from = sim.bad_to = 0;
        CHECK(choose() == 1 && runs(1, NODE_EVERY));
    }
}

/* For every byte (every `step`-th, and the last) at which power can fail: an update from `before` in slot a (and, when old is a blob, an older one in b) to `after`. */
static void cut_everywhere(int before, int old, int after, int harsh, uint64_t step) {
    uint64_t total, cut, cuts = 0, seen_old = 0, seen_new = 0;
    int used;
    begin();
    if (old >= 0) {
        CHECK(update(0, old) == NODE_SLOT_OK);
        set_u32(1, 8, 41, 1);
    }
    CHECK(update(1, before) == NODE_SLOT_OK);
    used = choose();
    CHECK(used == 0 && runs(0, before));
    keep();
    sim.spent = 0;
    CHECK(update(0, after) == NODE_SLOT_OK);
    total = sim.spent;
    CHECK(total > SLOT);
    for (cut = 0; cut <= total; cut += cut + step < total || cut == total ? step : total - cut) { /* the end is among them */
        bring_back();
        sim.harsh = harsh;
        sim.noise = (uint32_t)cut * 7919u + 1u;
        sim.power = cut;
        sim.touched[0] = 0;
        cuts++;
        CHECK((update(0, after) == NODE_SLOT_OK) == (cut == total));
        if (sim.touched[0] != 0 || memcmp(kept_a, slot_a, SLOT) != 0) {
            CHECK_NEVER("the slot in use was touched");
        }
        flash_restart(&sim);
        used = choose();
        if (used == 1 && runs(1, after)) {
            seen_new++;
        } else if (used == 0 && runs(0, before)) {
            seen_old++;
        } else {
            CHECK_NEVER("neither the old blob nor the new one runs");
        }
        if (cut % 61u == 0 && used == 0) { /* and the update can be done again */
            CHECK(update(0, after) == NODE_SLOT_OK && choose() == 1 && runs(1, after));
        }
    }
    CHECK(seen_old > 0 && seen_new > 0 && seen_old + seen_new == cuts);
    CHECK(cuts > total / step);
    CHECK(seen_new <= 2); /* whole, and perhaps with a last byte that happened to come out correct */
}

static void power_lost_in_an_update(void) {
    cut_everywhere(NODE_PLAIN, -1, NODE_EVERY, 0, 1);
    cut_everywhere(NODE_EVERY, NODE_HALF, NODE_PLAIN, 0, OTHERS);
}

static void power_lost_in_an_update_with_uncertain_erase(void) {
    cut_everywhere(NODE_HALF, NODE_EVERY, NODE_PLAIN, 1, OTHERS);
}

static void power_lost_while_choosing(void) {
    uint64_t total, cut;
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && choose() == 0);
    CHECK(update(0, NODE_EVERY) == NODE_SLOT_OK);
    keep();
    sim.spent = 0;
    CHECK(choose() == 1 && runs(1, NODE_EVERY));
    total = sim.spent;
    CHECK_EQUAL(16, total); /* a trial flag; then commit, ran and confirm */
    for (cut = 0; cut <= total; cut++) {
        bring_back();
        sim.power = cut;
        sim.noise = (uint32_t)cut;
        (void)choose();
        flash_restart(&sim);
        CHECK(choose() == 1 && runs(1, NODE_EVERY)); /* one cut costs a trial, not the blob */
        CHECK(choose() == 1 && runs(1, NODE_EVERY));
    }
}

/* What `aether device pack` would write, in memory: the blob at `offset`. */
static uint32_t packed[SLOT / 4];

static void pack(int which, size_t offset) {
    begin();
    CHECK(update(-1, which) == NODE_SLOT_OK);
    memcpy(packed, slot_a, SLOT);
    memset((unsigned char *)packed + 256, 0xFF, SLOT - 256);
    memcpy((unsigned char *)packed + offset, NODE_BLOB[which].words, NODE_BLOB[which].bytes);
    packed[3] = (uint32_t)offset;
    packed[15] = aether_crc32(0, packed, 0x3C);
    begin();
    CHECK(update(-1, NODE_PLAIN) == NODE_SLOT_OK && choose() == 0);
    sim.touched[1] = 0;
}

static node_slot_fault send_image(size_t bytes, size_t piece) {
    static node_slot_image image;
    size_t at;
    node_slot_image_begin(&image, &sim.flash, 0);
    for (at = 0; at < bytes; at += piece) {
        const size_t left = bytes - at;
        (void)node_slot_image_write(&image, (const unsigned char *)packed + at, left < piece ? left : piece);
    }
    return node_slot_image_finish(&image);
}

static void packed_images(void) {
    static const size_t pieces[] = {1, 7, 63, 64, 65, 255, 256, 257, 1000, SLOT};
    size_t i;
    for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        pack(NODE_EVERY, i % 2 == 0 ? 256 : 512);
        CHECK(send_image(SLOT, pieces[i]) == NODE_SLOT_OK);
        CHECK(choose() == 1 && runs(1, NODE_EVERY));
        CHECK_EQUAL(1, verdicts[1].header.sequence); /* an update's number, not the image's */
    }
    pack(NODE_EVERY, 256);
    CHECK(send_image(256 + NODE_BLOB[NODE_EVERY].bytes, 100) == NODE_SLOT_OK && choose() == 1); /* nothing behind the blob */
    for (i = 0; i < 256 + NODE_BLOB[NODE_EVERY].bytes; i += i < 80 ? 1 : 59) { /* cut */
        pack(NODE_EVERY, 256);
        CHECK(send_image(i, 100) == NODE_SLOT_ORDER);
        CHECK((sim.touched[1] == 0) == (i < 64));
        CHECK(choose() == 0 && runs(0, NODE_PLAIN));
    }
    for (i = 0; i < 64; i++) { /* a damaged header: nothing is erased */
        pack(NODE_EVERY, 256);
        ((unsigned char *)packed)[i] ^= 0x20;
        CHECK(send_image(SLOT, 64) != NODE_SLOT_OK);
        CHECK_EQUAL(0, sim.touched[1]);
    }
    pack(NODE_EVERY, 256);
    ((unsigned char *)packed)[300] ^= 0x20;
    CHECK(send_image(SLOT, 64) == NODE_SLOT_BLOB_CRC && choose() == 0);
    pack(NODE_EVERY, 256);
    packed[4] = SLOT;
    packed[15] = aether_crc32(0, packed, 0x3C);
    CHECK(send_image(SLOT, 64) == NODE_SLOT_TOO_LARGE);
    CHECK_EQUAL(0, sim.touched[1]);
}

int firmware_main(void) {
    check_test("packed_images", packed_images);
    check_test("empty_slots", empty_slots);
    check_test("updates_alternate", updates_alternate);
    check_test("sequences_wrap", sequences_wrap);
    check_test("damaged_headers", damaged_headers);
    check_test("rejected_blob_leaves_the_other_slot", rejected_blob_leaves_the_other_slot);
    check_test("blob_that_crashes_the_node", blob_that_crashes_the_node);
    check_test("update_without_slot_in_use_keeps_the_confirmed_one", update_without_slot_in_use_keeps_the_confirmed_one);
    check_test("rejected_update_touches_nothing", rejected_update_touches_nothing);
    check_test("flash_write_fails", flash_write_fails);
    check_test("read_failures_keep_the_confirmed_slot", read_failures_keep_the_confirmed_slot);
    check_test("read_failures_while_choosing", read_failures_while_choosing);
    check_test("power_lost_in_an_update", power_lost_in_an_update);
    check_test("power_lost_in_an_update_with_uncertain_erase", power_lost_in_an_update_with_uncertain_erase);
    check_test("power_lost_while_choosing", power_lost_while_choosing);
    return check_end();
}
