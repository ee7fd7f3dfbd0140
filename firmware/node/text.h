/* Names from a blob, for a log. */
#ifndef NODE_TEXT_H
#define NODE_TEXT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NODE_TEXT_BYTES 64u /* a sufficient capacity for the name of a class */

/* Writes `text` (at most `bytes` bytes, or up to a zero byte; NULL counts as empty) so that it cannot start a line or drive a terminal: printable
   ASCII and UTF-8 from U+00A0 on stay, every other byte becomes \xNN, and a backslash \\. What exceeds `capacity` (at least 4, the
   terminating zero included) is cut and ends in "...". Returns out. */
const char *node_text(const char *text, size_t bytes, char *out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
