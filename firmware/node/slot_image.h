/* An update from a packed image (docs/spec/slots.md, written by `aether device pack`), received over any channel: bytes in order, in pieces
   of any size. The image's sequence and flags are ignored: the update writes its own. */
#ifndef NODE_SLOT_IMAGE_H
#define NODE_SLOT_IMAGE_H

#include "slots.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fields are private. */
typedef struct node_slot_image {
    const node_flash *flash;
    int in_use;
    size_t at; /* bytes of the image taken so far */
    unsigned char head[NODE_SLOT_HEADER_BYTES];
    node_slot_header header; /* valid once all its bytes are read */
    node_slot_fault fault;   /* the first one */
    node_slot_update update;
} node_slot_image;

/* Begins without touching flash. in_use: the slot in use (0 or 1), or -1. */
void node_slot_image_begin(node_slot_image *image, const node_flash *flash, int in_use);

/* Takes the next bytes. Nothing is erased before the image's header is complete and valid. Returns the codes of node_slot_inspect and
   node_slot_update_begin. The first fault ends the update, and later calls return it again. */
node_slot_fault node_slot_image_write(node_slot_image *image, const void *bytes, size_t count);

/* Call after the last byte (the padding behind the blob may be omitted). Returns the codes of node_slot_update_finish, or the first fault. */
node_slot_fault node_slot_image_finish(node_slot_image *image);

#ifdef __cplusplus
}
#endif
#endif
