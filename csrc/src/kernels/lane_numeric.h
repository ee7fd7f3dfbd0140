/* exp, finiteness and binary16 on lanes (docs/spec/numerics.md). Include after a lane_<instruction set>.h. */

/* 2^n by way of z's low bits: see the contract. Below c0, and at minus infinity, +0. */
LANE_INLINE lane v_exp(lane x) {
    const lane magic = v_set1(12582912.0f);
    const lane z = v_add(v_mul(x, v_set1(1.44269504f)), magic);
    const lane n = v_sub(z, magic);
    const lane r = v_sub(v_sub(x, v_mul(n, v_set1(0.693359375f))), v_mul(n, v_set1(-0.000212194440f)));
    lane p = v_set1(0.00137805939f);
    p = v_add(v_mul(p, r), v_set1(0.00837312452f));
    p = v_add(v_mul(p, r), v_set1(0.0416695364f));
    p = v_add(v_mul(p, r), v_set1(0.166664720f));
    p = v_add(v_mul(p, r), v_set1(0.499999851f));
    const lane t = v_add(v_mul(p, v_mul(r, r)), r);
    return v_zero_below(x, v_set1(-87.33654f), v_shift_add(v_add(t, v_set1(1.0f)), z));
}

static int lane_all_finite(const float *x, size_t n) {
    enum { CHAINS = 4 };
    lane worst[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    size_t i = 0;
    for (; i + CHAINS * LANES <= n; i += CHAINS * LANES) {
        LANE_UNROLL
        for (size_t c = 0; c < CHAINS; ++c) {
            worst[c] = v_worst(worst[c], v_load(x + i + c * LANES));
        }
    }
    for (; i + LANES <= n; i += LANES) {
        worst[0] = v_worst(worst[0], v_load(x + i));
    }
    if (i < n) {
        worst[0] = v_worst(worst[0], v_load_part(x + i, n - i));
    }
    return v_all_finite(v_worst(v_worst(worst[0], worst[1]), v_worst(worst[2], worst[3])));
}

static void lane_widen(const uint16_t *half, float *x, size_t n) {
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        v_store(x + i, v_load_half(half + i));
    }
    if (i < n) {
        v_store_part(x + i, v_load_half_part(half + i, n - i), n - i);
    }
}

static int lane_narrow(const float *x, uint16_t *half, float *rounded, size_t n) {
    size_t i = 0;
    int fits = 1;
    for (; i + LANES <= n; i += LANES) {
        fits &= v_store_half(half + i, v_load(x + i));
    }
    if (i < n) {
        uint16_t last[LANES];
        fits &= v_store_half(last, v_load_part(x + i, n - i));
        for (size_t j = 0; i + j < n; ++j) {
            half[i + j] = last[j];
        }
    }
    if (rounded != NULL && fits) {
        lane_widen(half, rounded, n);
    }
    return !fits;
}
