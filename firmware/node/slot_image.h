/* An update from a packed image (docs/spec/slots.md, what `aether device pack` writes), as it comes over whatever channel a node has: bytes in
   order, in pieces of any size. The image's own sequence and marks do not count: the slot gets those of an update. */
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
    node_slot_header header; /* once it is whole */
    node_slot_fault fault;   /* the first one: it stays */
    node_slot_update update;
} node_slot_image;

/* Begins; touches nothing. in_use: the slot that is (0, 1), or -1. */
void node_slot_image_begin(node_slot_image *image, const node_flash *flash, int in_use);

/* The next bytes. Nothing is erased before the image's header has been read and is right: the codes of node_slot_look and
   node_slot_update_begin. The first fault ends the update; what follows is answered with the same. */
node_slot_fault node_slot_image_write(node_slot_image *image, const void *bytes, size_t count);

/* After the last byte (what stands behind the blob may be left out). The codes of node_slot_update_finish, or the first fault. */
node_slot_fault node_slot_image_finish(node_slot_image *image);

#ifdef __cplusplus
}
#endif
#endif
