# The C interface (csrc/include/aether) as Cython sees it.
from libc.stdint cimport int8_t, int16_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "../src/fpenv.h" nogil:
    ctypedef struct aether_fpenv:
        pass

    aether_fpenv aether_fpenv_enter()
    void aether_fpenv_leave(aether_fpenv env)


cdef extern from "aether/aether.h" nogil:
    const char *AETHER_VERSION
    size_t SIZE_MAX

    ctypedef enum aether_status:
        AETHER_OK
        AETHER_E_SHAPE
        AETHER_E_CONFIG
        AETHER_E_NOT_FINITE
        AETHER_E_OVERFLOW
        AETHER_E_BLOB_CRC
        AETHER_STATUS_COUNT

    ctypedef struct aether_detail:
        const char *field
        const char *expected
        uint64_t found
        size_t offset

    const char *aether_status_text(aether_status status)
    const char *aether_status_name(aether_status status)

    ctypedef enum aether_dtype:
        AETHER_BINARY32
        AETHER_BINARY16
        AETHER_INT8

    ctypedef struct aether_kernels:
        const char *name

    const aether_kernels *aether_kernels_portable()
    const aether_kernels *aether_kernels_at(size_t index)
    int aether_kernels_usable(const aether_kernels *kernels)
    aether_status aether_kernels_find(const char *name, const aether_kernels **kernels)

    ctypedef enum aether_backend:
        AETHER_SPARSE
        AETHER_DENSE

    ctypedef enum aether_pattern:
        AETHER_REFERENCE
        AETHER_PYRAMID

    ctypedef struct aether_config:
        aether_backend backend
        aether_pattern pattern
        uint32_t q_heads
        uint32_t kv_heads
        uint32_t head_dim
        uint64_t window
        uint64_t block_size
        uint64_t history
        const uint32_t *globals
        size_t n_globals
        uint8_t causal
        uint8_t use_log_stride
        uint8_t use_landmarks

    ctypedef struct aether_head:
        aether_config config
        float scale
        const aether_kernels *kernels

    aether_status aether_head_init(aether_head *head, const aether_config *config, const aether_kernels *kernels,
                                   aether_detail *detail)
    aether_head aether_head_within(const aether_head *head, uint64_t capacity)
    uint64_t aether_pattern_edges(const aether_config *config, uint64_t tokens)
    size_t aether_pattern_max_singles(const aether_config *config)
    size_t aether_pattern_max_blocks(const aether_config *config)

    ctypedef struct aether_row:
        uint64_t lo
        uint64_t hi
        size_t n_below
        size_t n_above
        size_t n_blocks
        uint64_t *singles
        uint64_t *blocks
        uint8_t *levels

    void aether_pattern_row(const aether_config *config, uint64_t tokens, uint64_t i, aether_row *row)

    ctypedef struct aether_plan:
        size_t tokens

    aether_status aether_attention_workspace(const aether_head *head, size_t tokens, aether_dtype dtype, size_t *bytes)
    aether_status aether_attention_forward(const aether_head *head, const float *q, const float *k, const float *v,
                                           size_t tokens, aether_dtype dtype, float *out, void *workspace, size_t bytes)
    aether_status aether_attention_plan_size(const aether_head *head, size_t tokens, aether_dtype dtype, size_t *bytes)
    aether_status aether_attention_prepare(aether_plan *plan, const aether_head *head, const float *k, const float *v,
                                           size_t tokens, aether_dtype dtype, void *workspace, size_t bytes)
    aether_status aether_attention_rows_size(const aether_head *head, size_t tokens, size_t *bytes)
    aether_status aether_attention_rows(const aether_plan *plan, const float *q, size_t first, size_t count, float *out,
                                        void *scratch, size_t bytes)

    ctypedef enum aether_policy:
        AETHER_ON_FULL_ERROR
        AETHER_ON_FULL_RING

    ctypedef struct aether_cache:
        aether_head head
        uint64_t capacity
        uint64_t length
        aether_dtype dtype
        aether_policy policy
        size_t n_rows
        size_t memory_bytes

    ctypedef struct aether_saved:
        aether_config config
        uint64_t capacity
        uint64_t length
        aether_dtype dtype
        aether_policy policy
        size_t globals_offset

    aether_status aether_cache_size(const aether_head *head, uint64_t capacity, aether_dtype dtype, size_t *bytes)
    aether_status aether_cache_init(aether_cache *cache, const aether_head *head, uint64_t capacity, aether_dtype dtype,
                                    aether_policy policy, void *memory, size_t bytes)
    void aether_cache_reset(aether_cache *cache)
    aether_status aether_cache_scratch(const aether_cache *cache, size_t tokens, size_t *bytes)
    aether_status aether_cache_step(aether_cache *cache, const aether_head *head, const float *q, const float *k,
                                    const float *v, float *out, void *scratch, size_t bytes)
    aether_status aether_cache_prefill(aether_cache *cache, const aether_head *head, const float *q, const float *k,
                                       const float *v, size_t tokens, float *out, void *scratch, size_t bytes)
    aether_status aether_cache_step_many(aether_cache **caches, size_t n, const aether_head *head, const float *q,
                                         const float *k, const float *v, float *out, void *scratch, size_t bytes)
    aether_status aether_cache_append(aether_cache *cache, const float *k, const float *v, size_t tokens)
    size_t aether_cache_saved_size(const aether_cache *cache)
    aether_status aether_cache_save(const aether_cache *cache, void *bytes, size_t size)
    aether_status aether_cache_peek(const void *bytes, size_t size, aether_saved *saved, aether_detail *detail)
    aether_status aether_cache_load(aether_cache *cache, const void *bytes, size_t size, aether_detail *detail)

    uint32_t aether_crc32(uint32_t crc, const void *data, size_t bytes)

    enum:
        AETHER_RVNE_HEADER_BYTES
        AETHER_RVNE_OVERHEAD

    ctypedef struct aether_rvne_header:
        uint8_t flags
        uint16_t input_dim
        uint16_t n_q_heads
        uint16_t n_kv_heads
        uint16_t head_dim
        uint16_t n_layers
        uint16_t n_classes
        uint32_t weights_len

    aether_status aether_rvne_check(const aether_rvne_header *header, aether_detail *detail)
    aether_status aether_rvne_parse(const void *blob, size_t bytes, aether_rvne_header *header, aether_detail *detail)
    uint64_t aether_rvne_size(const aether_rvne_header *header)
    aether_status aether_rvne_write(const aether_rvne_header *header, const void *weights, void *out, size_t bytes,
                                    aether_detail *detail)

    ctypedef struct aether_model:
        aether_rvne_header header
        aether_head head
        aether_dtype dtype
        uint32_t width
        uint32_t n_pairs
        const uint16_t *subcarriers
        uint32_t embed_dim
        const char *class_names
        size_t class_names_bytes
        float frame_rate
        float temperature
        uint32_t label_delay
        uint32_t resample_period
        uint32_t resample_max_gap
        uint32_t agc
        const char *provenance
        size_t provenance_bytes
        float input_unit

    ctypedef struct aether_array:
        const char *name
        uint32_t layer
        aether_dtype dtype
        size_t offset
        uint32_t dims[2]

    ctypedef struct aether_memory:
        size_t flash
        size_t state
        size_t scratch
        size_t cache_rows
        uint64_t multiply_adds

    aether_status aether_model_open(aether_model *model, const void *blob, size_t bytes, const aether_kernels *kernels,
                                    aether_detail *detail)
    aether_status aether_model_array(const aether_model *model, size_t index, aether_array *array)
    aether_status aether_model_memory_on(const aether_model *model, uint64_t context, aether_dtype dtype,
                                         size_t pointer_bytes, aether_memory *memory)
    aether_status aether_model_workspace(const aether_model *model, size_t tokens, uint64_t context, aether_dtype dtype,
                                         size_t *bytes)
    aether_status aether_model_forward(const aether_model *model, const float *frames, size_t tokens, uint64_t context,
                                       aether_dtype dtype, float *logits, float *embeddings, void *workspace,
                                       size_t bytes)
    ctypedef void (*aether_trace)(void *user, size_t layer, const float *q, const float *k, const float *v,
                                  const float *out) noexcept nogil
    aether_status aether_model_trace(const aether_model *model, const float *frames, size_t tokens, uint64_t context,
                                     aether_dtype dtype, float *logits, float *embeddings, aether_trace trace, void *user,
                                     void *workspace, size_t bytes)

    ctypedef struct aether_stream:
        const aether_model *model
        uint64_t context
        aether_dtype dtype
        uint64_t length
        size_t memory_bytes

    aether_status aether_stream_size(const aether_model *model, uint64_t context, aether_dtype dtype, size_t *bytes)
    aether_status aether_stream_init(aether_stream *stream, const aether_model *model, uint64_t context,
                                     aether_dtype dtype, void *memory, size_t bytes)
    void aether_stream_reset(aether_stream *stream)
    aether_status aether_stream_push(aether_stream *stream, const float *frame)
    const float *aether_stream_logits(const aether_stream *stream)
    const float *aether_stream_embedding(const aether_stream *stream)
    size_t aether_stream_saved_size(const aether_stream *stream)
    aether_status aether_stream_save(const aether_stream *stream, void *bytes, size_t size)
    aether_status aether_stream_load(aether_stream *stream, const void *bytes, size_t size, aether_detail *detail)

    ctypedef struct aether_pool:
        uint32_t most
        uint32_t count
        size_t memory_bytes

    ctypedef struct aether_pushed:
        float *logits
        float *embeddings
        aether_status *results
        uint64_t *evicted
        size_t n_evicted

    aether_status aether_pool_size(const aether_model *model, uint64_t context, aether_dtype dtype, uint32_t most, size_t *bytes)
    aether_status aether_pool_init(aether_pool *pool, const aether_model *model, uint64_t context, aether_dtype dtype,
                                   uint32_t most, void *memory, size_t bytes)
    aether_status aether_pool_push(aether_pool *pool, const uint64_t *ids, size_t n, const float *frames,
                                   aether_pushed *pushed)
    const aether_stream *aether_pool_at(aether_pool *pool, uint64_t id)
    aether_status aether_pool_drop(aether_pool *pool, uint64_t id)
    aether_status aether_pool_load(aether_pool *pool, uint64_t id, const void *bytes, size_t size, aether_detail *detail)
    void aether_pool_ids(const aether_pool *pool, uint64_t *ids)

    enum:
        AETHER_RESAMPLE_MAX_DUE

    ctypedef struct aether_clock:
        uint64_t elapsed
        uint32_t restarts

    uint64_t aether_clock_read(aether_clock *clock, uint32_t microseconds)

    ctypedef struct aether_resampler:
        size_t dim
        uint32_t period
        uint32_t max_gap
        uint32_t agc

    aether_status aether_resample_size(size_t dim, size_t *bytes)
    aether_status aether_resample_init(aether_resampler *r, size_t dim, uint32_t period, uint32_t max_gap, uint32_t agc,
                                       void *memory, size_t bytes)
    void aether_resample_reset(aether_resampler *r)
    aether_status aether_resample_push(aether_resampler *r, const float *frame, uint64_t time, int *restarted)
    uint32_t aether_resample_due(const aether_resampler *r)
    uint64_t aether_resample_time(const aether_resampler *r)
    aether_status aether_resample_take(aether_resampler *r, float *out)

    aether_status aether_csi_amplitude(const int8_t *iq, size_t n_pairs, const uint16_t *subcarriers, size_t n, float *out)
    aether_status aether_csi_amplitude12(const int16_t *iq, size_t n_pairs, const uint16_t *subcarriers, size_t n, float *out)

    ctypedef struct aether_run:
        int16_t first
        uint16_t count
        uint8_t step
        uint8_t band

    ctypedef struct aether_layout:
        aether_run runs[6]
        size_t n_runs

    ctypedef struct aether_csi_facts:
        uint8_t family
        uint8_t twelve_bits
        uint8_t format
        uint8_t forty
        uint8_t stbc
        uint8_t secondary

    ctypedef struct aether_wanted:
        const uint8_t *bands
        const int16_t *numbers
        size_t n

    aether_status aether_csi_frame(const aether_model *model, const aether_layout *layout, const int8_t *iq, size_t n_pairs,
                                   size_t invalid, float *out)
    aether_status aether_layout_of(const aether_csi_facts *facts, size_t n_pairs, aether_layout *layout)
    aether_status aether_subcarriers_find(const aether_run *runs, size_t n_runs, const aether_wanted *wanted, uint16_t *index,
                                          size_t *missing)


cdef extern from "golden.h" nogil:
    ctypedef struct aether_golden_result:
        const char *name
        const char *path
        aether_status expected_status
        aether_status status
        size_t compared
        size_t mismatches
        size_t first
        uint32_t expected
        uint32_t got
        int passed

    ctypedef void (*aether_golden_report)(void *user, const aether_golden_result *result) noexcept

    ctypedef struct aether_golden_totals:
        size_t cases
        size_t checks
        size_t failed
        size_t compared

    aether_status aether_golden_check(const void *file, size_t bytes, size_t *cases)
    aether_status aether_golden_scratch(const void *file, size_t bytes, const aether_kernels *kernels, size_t *need)
    aether_status aether_golden_run(const void *file, size_t bytes, const aether_kernels *kernels, void *scratch,
                                    size_t scratch_bytes, aether_golden_report report, void *user,
                                    aether_golden_totals *totals)


cdef extern from "gradient.h" nogil:
    ctypedef struct aether_gradient:
        const aether_head *head
        size_t tokens
        const float *q
        const float *k
        const float *v
        const float *d_out
        float *d_q
        float *d_k
        float *d_v

    ctypedef struct aether_gradient_memory:
        size_t panel
        size_t sums
        size_t scratch

    aether_status aether_gradient_size(const aether_head *head, size_t tokens, aether_gradient_memory *bytes)
    aether_status aether_gradient_pack(const aether_gradient *job, size_t kv, void *panel)
    aether_status aether_gradient_rows(const aether_gradient *job, size_t kv, const void *panel, size_t first, size_t count,
                                       void *sums, void *scratch)
    aether_status aether_gradient_finish(const aether_gradient *job, size_t kv, const void *sums, size_t chunks)
