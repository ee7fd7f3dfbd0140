#include "slot_image.h"

#include <string.h>

#include "slot_layout.h"

void node_slot_image_begin(node_slot_image *image, const node_flash *flash, int in_use) {
    memset(image, 0, sizeof *image);
    image->flash = flash;
    image->in_use = in_use;
}

/* Checks the complete header, and begins the update when the slot can hold the blob. */
static node_slot_fault begin_update(node_slot_image *image) {
    node_slot_header header;
    unsigned target;
    node_slot_fault fault = node_slot_target(image->flash, image->in_use, &target);
    if (fault == NODE_SLOT_OK) {
        fault = node_slot_decode(image->head, image->flash->slot_bytes[target], &header);
    }
    if (fault == NODE_SLOT_OK) {
        image->header = header;
        fault = node_slot_update_begin(&image->update, image->flash, image->in_use, &header);
    }
    return fault;
}

/* How many of `count` bytes lie before byte `to` of the image. */
static size_t within(const node_slot_image *image, size_t to, size_t count) {
    return count < to - image->at ? count : to - image->at;
}

/* Consumes the bytes of one part of the image; *taken: how many. */
static node_slot_fault take(node_slot_image *image, const unsigned char *bytes, size_t count, size_t *taken) {
    const size_t begin = image->header.blob_offset;
    if (image->at < NODE_SLOT_HEADER_BYTES) {
        *taken = within(image, NODE_SLOT_HEADER_BYTES, count);
        memcpy(image->head + image->at, bytes, *taken);
        return image->at + *taken == NODE_SLOT_HEADER_BYTES ? begin_update(image) : NODE_SLOT_OK;
    }
    if (image->at < begin) { /* the image's flags are skipped: the update writes its own */
        *taken = within(image, begin, count);
        return NODE_SLOT_OK;
    }
    if (image->at - begin < image->header.blob_length) {
        *taken = within(image, begin + image->header.blob_length, count);
        return node_slot_update_write(&image->update, bytes, *taken);
    }
    *taken = count; /* padding to a whole sector */
    return NODE_SLOT_OK;
}

node_slot_fault node_slot_image_write(node_slot_image *image, const void *bytes, size_t count) {
    const unsigned char *p = bytes;
    while (count > 0 && image->fault == NODE_SLOT_OK) {
        size_t taken = 0;
        image->fault = take(image, p, count, &taken);
        image->at += taken;
        p += taken;
        count -= taken;
    }
    return image->fault;
}

node_slot_fault node_slot_image_finish(node_slot_image *image) {
    if (image->fault == NODE_SLOT_OK) {
        image->fault = image->at < NODE_SLOT_HEADER_BYTES ? NODE_SLOT_ORDER : node_slot_update_finish(&image->update);
    }
    return image->fault;
}
