/* Gradients of aether_attention_forward, for training on a host. No golden vectors stand behind them: a float64 reference
   judges. Memory grows with the tokens, never with their square: a row's weights are computed again from q and k.

   One sequence and one key/value head is a unit. Its work: pack once; rows in chunks, each into sums of its own; finish adds the
   sums up, chunk after chunk. So results depend on how rows are cut into chunks, never on who computes them or when; equal
   chunks give equal bits on one kernel variant. Another variant adds in another order. */
#ifndef AETHER_GRADIENT_H
#define AETHER_GRADIENT_H

#include "aether/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One sequence, arrays as in attention.h: out = attention(q, k, v), and d_x is the derivative of something by x. Values of q, k
   and v are those that forward accepted; what is not finite in d_out is so in the results. d_q, d_k and d_v are written whole. */
typedef struct aether_gradient {
    const aether_head *head;
    size_t tokens;
    const float *q, *k, *v, *d_out;
    float *d_q, *d_k, *d_v;
} aether_gradient;

/* Bytes of a panel (packed keys, values and block means of a unit), of the sums of one chunk, and of the scratch of one call of
   rows. AETHER_E_ARGUMENT, AETHER_E_TOO_LARGE. */
typedef struct aether_gradient_memory {
    size_t panel, sums, scratch;
} aether_gradient_memory;
aether_status aether_gradient_size(const aether_head *head, size_t tokens, aether_gradient_memory *bytes);

/* Memory below is the caller's, of those sizes, aligned to 8 (64 is faster). All: AETHER_E_ARGUMENT, AETHER_E_ALIGNMENT,
   AETHER_E_SHAPE (a key/value head or row that is not there). No tokens: nothing is done. */

/* Fills the panel of key/value head `kv`. */
aether_status aether_gradient_pack(const aether_gradient *job, size_t kv, void *panel);

/* Rows [first, first+count): writes their d_q of the query heads of `kv`, and what they give to keys and values into `sums`. */
aether_status aether_gradient_rows(const aether_gradient *job, size_t kv, const void *panel, size_t first, size_t count,
                                   void *sums, void *scratch);

/* Writes d_k and d_v of `kv` from the sums of `chunks` chunks, which lie one after the other and covered every row once. */
aether_status aether_gradient_finish(const aether_gradient *job, size_t kv, const void *sums, size_t chunks);

#ifdef __cplusplus
}
#endif
#endif
