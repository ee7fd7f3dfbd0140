#include "slot_layout.h"

#include <string.h>

#include "aether/crc32.h"
#include "bytes.h"

static const char *const TEXT[NODE_SLOT_FAULTS] = {
    "in use",
    "not tried: the other slot is used",
    "no such partition",
    "flash cannot be read or mapped",
    "flash cannot be written",
    "empty",
    "not a slot image: the magic is missing",
    "slot image of an unknown version",
    "the slot header is damaged",
    "a field of the slot header is out of range",
    "the update was interrupted",
    "not confirmed after three trials",
    "the blob is damaged",
    "the blob is rejected",
    "the model's check value differs",
    "the blob does not fit into the slot",
    "the update is incomplete or too long",
    "not enough memory for the model",
    "the model in use is on trial, and the other slot holds the one to revert to",
};

const char *node_slot_text(node_slot_fault fault) {
    return (unsigned)fault < NODE_SLOT_FAULTS ? TEXT[fault] : "unknown fault";
}

void node_slot_encode(const node_slot_header *header, unsigned char *out) {
    memset(out, 0, NODE_SLOT_HEADER_BYTES);
    node_put_u32(out, SLOT_MAGIC);
    node_put_u16(out + 0x04, SLOT_VERSION);
    node_put_u16(out + 0x06, NODE_SLOT_HEADER_BYTES);
    node_put_u32(out + 0x08, header->sequence);
    node_put_u32(out + 0x0C, header->blob_offset);
    node_put_u32(out + 0x10, header->blob_length);
    node_put_u32(out + 0x14, header->blob_crc);
    node_put_u32(out + 0x18, header->check_frames);
    node_put_u32(out + 0x1C, header->check_seed);
    node_put_u32(out + 0x20, header->check_binary32);
    node_put_u32(out + 0x24, header->check_binary16);
    node_put_u32(out + 0x3C, aether_crc32(0, out, 0x3C));
}

node_slot_fault node_slot_fields(const node_slot_header *header, size_t slot_bytes) {
    if (header->blob_offset % 16u != 0 || header->blob_offset < NODE_SLOT_BLOB_OFFSET || header->blob_length < 28u ||
        header->check_frames < 1u || header->check_frames > NODE_SLOT_MAX_CHECK_FRAMES) {
        return NODE_SLOT_FIELD;
    }
    if (header->blob_offset > slot_bytes || header->blob_length > slot_bytes - header->blob_offset) {
        return NODE_SLOT_TOO_LARGE;
    }
    return NODE_SLOT_OK;
}

node_slot_fault node_slot_decode(const unsigned char *bytes, size_t slot_bytes, node_slot_header *header) {
    size_t i;
    if (node_get_u32(bytes) != SLOT_MAGIC) {
        for (i = 0; i < NODE_SLOT_HEADER_BYTES && bytes[i] == 0xFFu; i++) {
        }
        return i == NODE_SLOT_HEADER_BYTES ? NODE_SLOT_EMPTY : NODE_SLOT_MAGIC;
    }
    if (node_get_u16(bytes + 0x04) != SLOT_VERSION) {
        return NODE_SLOT_VERSION;
    }
    if (node_get_u32(bytes + 0x3C) != aether_crc32(0, bytes, 0x3C)) {
        return NODE_SLOT_HEADER_CRC;
    }
    if (node_get_u16(bytes + 0x06) != NODE_SLOT_HEADER_BYTES) {
        return NODE_SLOT_FIELD;
    }
    for (i = 0x28; i < 0x3C; i++) {
        if (bytes[i] != 0) {
            return NODE_SLOT_FIELD;
        }
    }
    header->sequence = node_get_u32(bytes + 0x08);
    header->blob_offset = node_get_u32(bytes + 0x0C);
    header->blob_length = node_get_u32(bytes + 0x10);
    header->blob_crc = node_get_u32(bytes + 0x14);
    header->check_frames = node_get_u32(bytes + 0x18);
    header->check_seed = node_get_u32(bytes + 0x1C);
    header->check_binary32 = node_get_u32(bytes + 0x20);
    header->check_binary16 = node_get_u32(bytes + 0x24);
    return node_slot_fields(header, slot_bytes);
}

int node_slot_newer(uint32_t a, uint32_t b) {
    const uint32_t ahead = a - b;
    return ahead != 0 && ahead < 0x80000000u;
}
