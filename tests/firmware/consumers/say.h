/* Text out, on a computer and on a bare chip. */
#ifndef CONSUMER_SAY_H
#define CONSUMER_SAY_H

#include <stddef.h>
#include <stdint.h>

#ifdef CONSUMER_BARE
#include "platform.h"
#else
#include <stdio.h>
#endif

static void say(const char *text) {
    size_t length = 0;
    while (text[length] != 0) {
        length++;
    }
#ifdef CONSUMER_BARE
    platform_write(text, length);
#else
    (void)fwrite(text, 1, length, stdout);
#endif
}

static void say_bits(uint32_t bits) {
    char text[10] = " ";
    int i;
    for (i = 0; i < 8; i++) {
        text[1 + i] = "0123456789abcdef"[bits >> (28 - 4 * i) & 15u];
    }
    text[9] = 0;
    say(text);
}

#endif
