/* One row of a linear layer, several columns at a time. Included by scalar.c once for each type of weights: WEIGHT is the type,
   NAME(x) the name of a function, INPUT(x) an input as it is multiplied, WIDE(w) a weight; INPUTS_A_TURN, 8 or 2, is how many inputs
   a turn of the loop takes. */

/* Column c of one input. */
#define ADD(c) a##c = a##c + each * WIDE(w[c])

#define ADD_4() ADD(0), ADD(1), ADD(2), ADD(3)
#define ADD_8() ADD_4(), ADD(4), ADD(5), ADD(6), ADD(7)
#define ADD_12() ADD_8(), ADD(8), ADD(9), ADD(10), ADD(11)

/* One input; then w goes on to the next row. */
#define ONE(i, add) each = INPUT(x[i]), add(), w += stride

#if INPUTS_A_TURN == 8
#define TURN(add) ONE(0, add), ONE(1, add), ONE(2, add), ONE(3, add), ONE(4, add), ONE(5, add), ONE(6, add), ONE(7, add)
#else
#define TURN(add) ONE(0, add), ONE(1, add)
#endif

#define INPUTS(add)                                                                    \
    do {                                                                               \
        const float *const end = x + in, *const last = end - in % INPUTS_A_TURN;       \
        float each;                                                                    \
        for (; x != last; x += INPUTS_A_TURN) {                                        \
            TURN(add);                                                                 \
        }                                                                              \
        for (; x != end; x++) {                                                        \
            ONE(0, add);                                                               \
        }                                                                              \
    } while (0)

/* y[0 .. 11] from the twelve columns that begin at w; b is what they begin with. Returns their sum, to see whether they are finite. */
static float NAME(columns_12)(const float *x, size_t in, const WEIGHT *w, size_t stride, const float *b, float *y) {
    float a0 = b[0], a1 = b[1], a2 = b[2], a3 = b[3], a4 = b[4], a5 = b[5];
    float a6 = b[6], a7 = b[7], a8 = b[8], a9 = b[9], a10 = b[10], a11 = b[11];
    INPUTS(ADD_12);
    y[0] = a0, y[1] = a1, y[2] = a2, y[3] = a3, y[4] = a4, y[5] = a5;
    y[6] = a6, y[7] = a7, y[8] = a8, y[9] = a9, y[10] = a10, y[11] = a11;
    return a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;
}

static float NAME(columns_8)(const float *x, size_t in, const WEIGHT *w, size_t stride, const float *b, float *y) {
    float a0 = b[0], a1 = b[1], a2 = b[2], a3 = b[3], a4 = b[4], a5 = b[5], a6 = b[6], a7 = b[7];
    INPUTS(ADD_8);
    y[0] = a0, y[1] = a1, y[2] = a2, y[3] = a3, y[4] = a4, y[5] = a5, y[6] = a6, y[7] = a7;
    return a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
}

static float NAME(columns_4)(const float *x, size_t in, const WEIGHT *w, size_t stride, const float *b, float *y) {
    float a0 = b[0], a1 = b[1], a2 = b[2], a3 = b[3];
    INPUTS(ADD_4);
    y[0] = a0, y[1] = a1, y[2] = a2, y[3] = a3;
    return a0 + a1 + a2 + a3;
}

static float NAME(columns_1)(const float *x, size_t in, const WEIGHT *w, size_t stride, const float *b, float *y) {
    const float *const end = x + in;
    float a0 = b[0], each;
    for (; x != end; x++, w += stride) {
        each = INPUT(*x), ADD(0);
    }
    y[0] = a0;
    return a0;
}

INLINE int NAME(linear)(const float *x, size_t rows, size_t in, const WEIGHT *w, const float *bias, size_t out, float *y) {
    static const float zeros[12] = {0.0f};
    const float *const all = y;
    const size_t n = rows * out;
    float sum = 0.0f;
    for (; rows > 0; rows--, x += in) {
        const float *b = bias != NULL ? bias : zeros;
        const size_t step = bias != NULL ? 1 : 0;
        const WEIGHT *column = w;
        size_t left = out;
        for (; left >= 12; left -= 12, column += 12, b += 12 * step, y += 12) {
            sum = sum + NAME(columns_12)(x, in, column, out, b, y);
        }
        if (left >= 8 && INPUTS_A_TURN == 8) {
            sum = sum + NAME(columns_8)(x, in, column, out, b, y);
            left -= 8, column += 8, b += 8 * step, y += 8;
        }
        for (; left >= 4; left -= 4, column += 4, b += 4 * step, y += 4) {
            sum = sum + NAME(columns_4)(x, in, column, out, b, y);
        }
        for (; left > 0; left--, column++, b += step, y++) {
            sum = sum + NAME(columns_1)(x, in, column, out, b, y);
        }
    }
    return finite_sum(sum, all, n);
}

#undef ADD
#undef ADD_4
#undef ADD_8
#undef ADD_12
#undef INPUTS
#undef TURN
#undef ONE
#undef INPUTS_A_TURN
#undef NAME
#undef WEIGHT
#undef INPUT
#undef WIDE
