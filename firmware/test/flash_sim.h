/* Flash simulated in memory, for tests of the slots. Writing clears bits; erasing works on sectors. Power can fail at any byte of either,
   which leaves that byte undefined; every access then fails until power returns. With `undecided` set, the bits that were being changed
   read either way from then on, another way each time, until they are written or erased completely. */
#ifndef AETHER_TEST_FLASH_SIM_H
#define AETHER_TEST_FLASH_SIM_H

#include "slots.h"

#define FLASH_FOREVER UINT64_MAX

typedef struct flash_sim {
    unsigned char *bytes[NODE_SLOTS]; /* as many as flash.slot_bytes */
    uint64_t power;    /* bytes that can still be written or erased */
    uint64_t spent;    /* bytes written and erased */
    uint32_t noise;    /* what an interrupted byte becomes */
    int harsh;         /* an interrupted erase leaves nothing certain in its sector */
    unsigned char *undecided[NODE_SLOTS]; /* NULL, or a mask for each byte: bits that read either way */
    int dead;
    uint64_t reads, bad_from, bad_to; /* reads so far; those with a number from bad_from and below bad_to fail */
    unsigned mapped[NODE_SLOTS];
    uint64_t touched[NODE_SLOTS]; /* writes and erases of a slot */
    node_flash flash;
} flash_sim;

static uint32_t flash_noise(flash_sim *sim) {
    sim->noise = sim->noise * 1664525u + 1013904223u;
    return sim->noise >> 24;
}

static int flash_byte(flash_sim *sim) {
    if (sim->power == 0) {
        sim->dead = 1;
        return 0;
    }
    if (sim->power != FLASH_FOREVER) {
        sim->power--;
    }
    sim->spent++;
    return 1;
}

/* Bits that read either way take a value. */
static void flash_settle(flash_sim *sim, unsigned slot, size_t offset, size_t bytes) {
    size_t i;
    for (i = offset; sim->undecided[slot] != NULL && i < offset + bytes; i++) {
        const unsigned mask = sim->undecided[slot][i];
        if (mask != 0) {
            sim->bytes[slot][i] = (unsigned char)((sim->bytes[slot][i] & ~mask) | (flash_noise(sim) & mask));
        }
    }
}

/* What an interrupted change leaves of `mask`, or what a complete one makes certain. */
static void flash_undecide(flash_sim *sim, unsigned slot, size_t at, unsigned mask) {
    if (sim->undecided[slot] != NULL) {
        sim->undecided[slot][at] = (unsigned char)(sim->undecided[slot][at] | mask);
    }
}

static void flash_decide(flash_sim *sim, unsigned slot, size_t at, unsigned mask) {
    if (sim->undecided[slot] != NULL) {
        sim->undecided[slot][at] = (unsigned char)(sim->undecided[slot][at] & ~mask);
    }
}

static int flash_read(void *user, unsigned slot, size_t offset, void *to, size_t bytes) {
    flash_sim *sim = user;
    const uint64_t number = sim->reads++;
    size_t i;
    if (sim->dead || offset > sim->flash.slot_bytes[slot] || bytes > sim->flash.slot_bytes[slot] - offset ||
        (number >= sim->bad_from && number < sim->bad_to)) {
        return 1;
    }
    flash_settle(sim, slot, offset, bytes);
    for (i = 0; i < bytes; i++) {
        ((unsigned char *)to)[i] = sim->bytes[slot][offset + i];
    }
    return 0;
}

static int flash_write(void *user, unsigned slot, size_t offset, const void *from, size_t bytes) {
    flash_sim *sim = user;
    size_t i;
    if (sim->dead || offset > sim->flash.slot_bytes[slot] || bytes > sim->flash.slot_bytes[slot] - offset) {
        return 1;
    }
    sim->touched[slot]++;
    for (i = 0; i < bytes; i++) {
        unsigned char *at = sim->bytes[slot] + offset + i;
        const unsigned value = ((const unsigned char *)from)[i];
        if (!flash_byte(sim)) {
            flash_undecide(sim, slot, offset + i, *at & ~value & 0xFFu);
            *at = (unsigned char)(*at & (value | flash_noise(sim)));
            return 1;
        }
        flash_decide(sim, slot, offset + i, ~value & 0xFFu);
        *at = (unsigned char)(*at & value);
    }
    return 0;
}

static int flash_erase(void *user, unsigned slot, size_t offset, size_t bytes) {
    flash_sim *sim = user;
    size_t i, k;
    if (sim->dead || offset % NODE_SLOT_SECTOR != 0 || bytes % NODE_SLOT_SECTOR != 0 ||
        offset > sim->flash.slot_bytes[slot] || bytes > sim->flash.slot_bytes[slot] - offset) {
        return 1;
    }
    sim->touched[slot]++;
    for (i = 0; i < bytes; i++) {
        unsigned char *at = sim->bytes[slot] + offset + i;
        if (!flash_byte(sim)) {
            flash_undecide(sim, slot, offset + i, ~(unsigned)*at & 0xFFu);
            *at = (unsigned char)(*at | flash_noise(sim));
            for (k = i - i % NODE_SLOT_SECTOR; sim->harsh && k < i - i % NODE_SLOT_SECTOR + NODE_SLOT_SECTOR; k++) {
                sim->bytes[slot][offset + k] = (unsigned char)flash_noise(sim);
                flash_undecide(sim, slot, offset + k, 0xFFu);
            }
            return 1;
        }
        flash_decide(sim, slot, offset + i, 0xFFu);
        *at = 0xFF;
    }
    return 0;
}

static const void *flash_map(void *user, unsigned slot) {
    flash_sim *sim = user;
    if (sim->dead) {
        return NULL;
    }
    sim->mapped[slot]++;
    flash_settle(sim, slot, 0, sim->flash.slot_bytes[slot]);
    return sim->bytes[slot];
}

static void flash_unmap(void *user, unsigned slot) {
    ((flash_sim *)user)->mapped[slot]--;
}

static void flash_begin(flash_sim *sim, unsigned char *a, unsigned char *b, size_t slot_bytes) {
    sim->bytes[0] = a;
    sim->bytes[1] = b;
    sim->power = FLASH_FOREVER;
    sim->spent = 0;
    sim->noise = 1;
    sim->harsh = 0;
    sim->undecided[0] = sim->undecided[1] = NULL;
    sim->dead = 0;
    sim->reads = sim->bad_from = sim->bad_to = 0;
    sim->mapped[0] = sim->mapped[1] = 0;
    sim->touched[0] = sim->touched[1] = 0;
    sim->flash.user = sim;
    sim->flash.slot_bytes[0] = sim->flash.slot_bytes[1] = slot_bytes;
    sim->flash.read = flash_read;
    sim->flash.write = flash_write;
    sim->flash.erase = flash_erase;
    sim->flash.map = flash_map;
    sim->flash.unmap = flash_unmap;
}

/* The power is back: nothing is mapped. */
static void flash_restart(flash_sim *sim) {
    sim->power = FLASH_FOREVER;
    sim->dead = 0;
    sim->mapped[0] = sim->mapped[1] = 0;
}

#endif
