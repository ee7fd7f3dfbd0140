/* Linear layers: several columns of one row at a time. */
#ifndef AETHER_SCALAR_LINEAR_H
#define AETHER_SCALAR_LINEAR_H

#include "scalar_half.h"

#define MOST_COLUMNS 12

/* y[0 .. columns-1] of one row, from the columns that begin at w. `stride` is from one row of w to the next, b what the sums begin
   with. Returns the sum of y, to see whether all are finite. Constants where called: columns, turn (inputs a round), half. */
INLINE float linear_columns(const float *x, size_t in, const void *w, size_t stride, const float *b, float *y,
                            size_t columns, size_t turn, int half) {
    const float *const end = x + in, *const last = end - in % turn;
    float a[MOST_COLUMNS], total;
    size_t c, i;
    UNROLL
    for (c = 0; c < columns; c++) {
        a[c] = b[c];
    }
    for (; x != last; x += turn) {
        UNROLL
        for (i = 0; i < turn; i++) {
            const float each = factor(x[i], half);
            UNROLL
            for (c = 0; c < columns; c++) {
                a[c] = a[c] + each * element(w, c, half);
            }
            w = later(w, stride, half);
        }
    }
    for (; turn > 1 && x != end; x++) {
        const float each = factor(*x, half);
        UNROLL
        for (c = 0; c < columns; c++) {
            a[c] = a[c] + each * element(w, c, half);
        }
        w = later(w, stride, half);
    }
    y[0] = total = a[0];
    UNROLL
    for (c = 1; c < columns; c++) {
        y[c] = a[c];
        total = total + a[c];
    }
    return total;
}

static float single_12(const float *x, size_t in, const void *w, size_t stride, const float *b, float *y) {
    return linear_columns(x, in, w, stride, b, y, 12, 8, 0);
}

static float single_8(const float *x, size_t in, const void *w, size_t stride, const float *b, float *y) {
    return linear_columns(x, in, w, stride, b, y, 8, 8, 0);
}

static float single_4(const float *x, size_t in, const void *w, size_t stride, const float *b, float *y) {
    return linear_columns(x, in, w, stride, b, y, 4, 8, 0);
}

static float single_1(const float *x, size_t in, const void *w, size_t stride, const float *b, float *y) {
    return linear_columns(x, in, w, stride, b, y, 1, 1, 0);
}

/* Code for binary16 is larger, and rounds matter less. */
static float half_12(const float *x, size_t in, const void *w, size_t stride, const float *b, float *y) {
    return linear_columns(x, in, w, stride, b, y, 12, 2, 1);
}

static float half_4(const float *x, size_t in, const void *w, size_t stride, const float *b, float *y) {
    return linear_columns(x, in, w, stride, b, y, 4, 2, 1);
}

static float half_1(const float *x, size_t in, const void *w, size_t stride, const float *b, float *y) {
    return linear_columns(x, in, w, stride, b, y, 1, 1, 1);
}

/* All rows. Returns the sum of y. Constant where called: half. */
INLINE float linear_rows(const float *x, size_t rows, size_t in, const void *w, const float *bias, size_t out, float *y,
                         int half) {
    static const float zeros[MOST_COLUMNS] = {0.0f};
    float sum = 0.0f;
    for (; rows > 0; rows--, x += in) {
        const float *b = bias != NULL ? bias : zeros;
        const size_t step = bias != NULL ? 1 : 0;
        const void *column = w;
        size_t left = out;
        for (; left >= 12; left -= 12, b += 12 * step, y += 12) {
            sum = sum + (half ? half_12(x, in, column, out, b, y) : single_12(x, in, column, out, b, y));
            column = later(column, 12, half);
        }
        if (left >= 8 && !half) {
            sum = sum + single_8(x, in, column, out, b, y);
            left -= 8, b += 8 * step, y += 8;
            column = later(column, 8, half);
        }
        for (; left >= 4; left -= 4, b += 4 * step, y += 4) {
            sum = sum + (half ? half_4(x, in, column, out, b, y) : single_4(x, in, column, out, b, y));
            column = later(column, 4, half);
        }
        for (; left > 0; left--, b += step, y++) {
            sum = sum + (half ? half_1(x, in, column, out, b, y) : single_1(x, in, column, out, b, y));
            column = later(column, 1, half);
        }
    }
    return sum;
}

#endif
