# Kernel variants, configuration, and attention over whole sequences.


def kernel_variants():
    """(name, usable here) of every variant compiled in, fastest last."""
    found = []
    cdef size_t index = 0
    while aether_kernels_at(index) != NULL:
        found.append((aether_kernels_at(index).name.decode(), bool(aether_kernels_usable(aether_kernels_at(index)))))
        index += 1
    return found


cdef const aether_kernels *_kernels(object name) except NULL:
    """The variant of this name; None: the fastest this processor can run."""
    cdef const aether_kernels *kernels = NULL
    cdef bytes text = b"" if name is None else name.encode()
    cdef const char *wanted = NULL if name is None else <const char *> text
    if aether_kernels_find(wanted, &kernels) != AETHER_OK:
        usable = ", ".join(variant for variant, here in kernel_variants() if here)
        raise KernelsError.of("kernels", f"one of {usable}", repr(name))
    return kernels


cdef class Pattern:
    """A checked aether_config with the global list it points to."""

    cdef aether_config config
    cdef uint32_t *globals

    def __cinit__(self, config):
        cdef size_t index
        cdef size_t n = len(config.global_tokens)
        self.globals = <uint32_t *> malloc((n + 1) * sizeof(uint32_t))
        if self.globals == NULL:
            raise _no_memory(n * sizeof(uint32_t))
        for index in range(n):
            self.globals[index] = config.global_tokens[index]
        self.config.backend = AETHER_DENSE if config.backend == "dense" else AETHER_SPARSE
        self.config.pattern = AETHER_PYRAMID if config.pattern == "pyramid" else AETHER_REFERENCE
        self.config.q_heads = config.q_heads
        self.config.kv_heads = config.kv_heads
        self.config.head_dim = config.head_dim
        self.config.window = config.window
        self.config.block_size = config.block_size
        self.config.history = 0 if config.history is None else config.history
        self.config.globals = self.globals
        self.config.n_globals = n
        self.config.causal = config.causal
        self.config.use_log_stride = config.use_log_stride
        self.config.use_landmarks = config.use_landmarks
        cdef aether_detail detail
        cdef aether_head head
        detail.field = NULL
        _check_detail(aether_head_init(&head, &self.config, NULL, &detail), &detail)

    def __dealloc__(self):
        free(self.globals)

    def history_within(self, capacity):
        """The history that a cache of `capacity` tokens has; None: unlimited."""
        cdef aether_head head
        cdef uint64_t limit = capacity
        _check(aether_head_init(&head, &self.config, NULL, NULL), None)
        head = aether_head_within(&head, limit)
        return head.config.history or None

    def edges(self, tokens):
        """(query, key) pairs of one query head over `tokens` tokens; saturates at 2**64 - 1."""
        cdef uint64_t n = tokens
        with nogil:
            n = aether_pattern_edges(&self.config, n)
        return n

    def mask(self, tokens_view, blocks_view, begins_view):
        """Sets what the last queries of T tokens see in two zeroed boolean arrays, tokens (queries, T) and blocks
        (queries, means); a mean of 2**level blocks stands in column begins[level] + first block / 2**level."""
        cdef uint64_t[::1] level_begins = begins_view
        cdef unsigned char[:, ::1] tokens = tokens_view
        cdef unsigned char[:, ::1] blocks = blocks_view
        cdef size_t n = <size_t> tokens.shape[1]
        cdef size_t first = n - <size_t> tokens.shape[0]
        cdef size_t singles = min(aether_pattern_max_singles(&self.config), n)
        cdef size_t i, j
        cdef aether_row row
        row.singles = <uint64_t *> malloc((singles + 1) * sizeof(uint64_t))
        cdef size_t most = aether_pattern_max_blocks(&self.config) + 1
        row.blocks = <uint64_t *> malloc(most * sizeof(uint64_t))
        row.levels = <uint8_t *> malloc(most)
        if row.singles == NULL or row.blocks == NULL or row.levels == NULL:
            free(row.singles)
            free(row.blocks)
            free(row.levels)
            raise _no_memory(singles * sizeof(uint64_t))
        with nogil:
            for i in range(n - first):
                aether_pattern_row(&self.config, n, first + i, &row)
                for j in range(<size_t> row.lo, <size_t> row.hi + 1):
                    tokens[i, j] = 1
                for j in range(row.n_below + row.n_above):
                    tokens[i, <size_t> row.singles[j]] = 1
                for j in range(row.n_blocks):
                    blocks[i, level_begins[row.levels[j]] + <size_t> (row.blocks[j] >> row.levels[j])] = 1
        free(row.singles)
        free(row.blocks)
        free(row.levels)


cdef dict _settings_of(const aether_config *config, global_tokens):
    """Arguments of TemporalHeadConfig."""
    return {
        "backend": "dense" if config.backend == AETHER_DENSE else "sparse_gqa",
        "pattern": "pyramid" if config.pattern == AETHER_PYRAMID else "reference",
        "q_heads": config.q_heads,
        "kv_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "window": config.window,
        "block_size": config.block_size,
        "causal": bool(config.causal),
        "global_tokens": tuple(global_tokens),
        "use_log_stride": bool(config.use_log_stride),
        "use_landmarks": bool(config.use_landmarks),
        "history": config.history or None,
    }


cdef class Head:
    """aether_head: one configuration and the kernels that run it."""

    cdef aether_head head
    cdef Pattern pattern
    cdef readonly object config
    cdef tuple step_out

    def __init__(self, config, kernels=None):
        cdef aether_detail detail
        detail.field = NULL
        if self.pattern is not None:
            raise InvalidArgumentError.of("head", "one initialisation", "a second one")
        cdef const aether_kernels *variant = _kernels(kernels)
        self.config = config
        self.pattern = Pattern(config)
        _check_detail(aether_head_init(&self.head, &self.pattern.config, variant, &detail), &detail)
        self.step_out = ((1, self.head.config.q_heads, self.head.config.head_dim), _numpy_float32)

    cdef int _ready(self) except -1:
        if self.head.kernels == NULL:
            raise InvalidArgumentError.of("head", "an initialised head", "one whose __init__ failed")
        return 0

    @property
    def kernels(self):
        """Name of the kernel variant that runs."""
        self._ready()
        return self.head.kernels.name.decode()

    def cache_nbytes(self, capacity, dtype="float32"):
        """Bytes a cache of this head would take, without making it. BackendDoesNotSupportStreamingError,
        InvalidConfigError, TooLargeError."""
        cdef size_t need
        self._ready()
        cdef uint64_t rows = _at_least_one(capacity, "capacity")
        _sized(aether_cache_size(&self.head, rows, _dtype(dtype), &need), self.config, "capacity", capacity)
        return need

    def step(self, q, k, v, cache):
        """Append one token to `cache` and attend with it.

        q: (1, q_heads, head_dim); k, v: (1, kv_heads, head_dim), real numbers. Returns a new float32 array (1, q_heads,
        head_dim): row `cache.tokens - 1` of `forward` over all tokens so far, bit for bit.

        InputTypeError, ShapeError, NonFiniteError, ResultOverflowError (also a key or value beyond a float16 cache),
        CacheFullError, CacheMismatchError, CacheBusyError; the cache is then as it was.
        """
        cdef Py_buffer views[4]
        cdef int held = 0
        cdef aether_status status
        self._ready()
        if not isinstance(cache, Cache):
            expect_type(cache, Cache, "cache", "a KvCache")
        cdef Cache own = <Cache> cache
        own._idle()
        try:
            _take(q, "q", &views[0])
            held = 1
            _take(k, "k", &views[1])
            held = 2
            _take(v, "v", &views[2])
            held = 3
            _expect3(&views[0], "q", 1, self.head.config.q_heads, self.head.config.head_dim)
            _expect3(&views[1], "k", 1, self.head.config.kv_heads, self.head.config.head_dim)
            _expect3(&views[2], "v", 1, self.head.config.kv_heads, self.head.config.head_dim)
            out = _empty_of(self.step_out, &views[3])
            held = 4
            own._need_scratch()
            own._idle()  # conversion may have let other threads run
            own.busy = True
            with nogil:
                status = aether_cache_step(
                    &own.cache, &self.head, <const float *> views[0].buf, <const float *> views[1].buf,
                    <const float *> views[2].buf, <float *> views[3].buf, own.scratch.data, own.scratch.size)
            own.busy = False
        finally:
            while held > 0:
                held -= 1
                PyBuffer_Release(&views[held])
        if status != AETHER_OK:
            raise_cache_error(_name(status), self, cache, q, k, v, 1)
        return out

    def prefill(self, q, k, v, cache):
        """Append T tokens to `cache` and attend with each: the same as T steps.

        q: (T, q_heads, head_dim); k, v: (T, kv_heads, head_dim). Returns (T, q_heads, head_dim). Errors as `step`; the
        cache is then as it was.
        """
        cdef Py_buffer views[4]
        cdef int held = 0
        cdef size_t tokens, need
        cdef aether_status status
        cdef Scratch scratch
        scratch.base = NULL
        self._ready()
        if not isinstance(cache, Cache):
            expect_type(cache, Cache, "cache", "a KvCache")
        cdef Cache own = <Cache> cache
        own._idle()
        try:
            _take(q, "q", &views[0])
            held = 1
            _take(k, "k", &views[1])
            held = 2
            _take(v, "v", &views[2])
            held = 3
            tokens = _tokens(&views[0], self)
            _expect3(&views[1], "k", tokens, self.head.config.kv_heads, self.head.config.head_dim)
            _expect3(&views[2], "v", tokens, self.head.config.kv_heads, self.head.config.head_dim)
            out = _empty(_shape(&views[0]), &views[3])
            held = 4
            _check(aether_cache_scratch(&own.cache, tokens, &need), "tokens")
            _borrow(&scratch, need)
            own._idle()
            own.busy = True
            with nogil:
                status = aether_cache_prefill(
                    &own.cache, &self.head, <const float *> views[0].buf, <const float *> views[1].buf,
                    <const float *> views[2].buf, tokens, <float *> views[3].buf, scratch.data, scratch.size)
            own.busy = False
        finally:
            free(scratch.base)
            while held > 0:
                held -= 1
                PyBuffer_Release(&views[held])
        if status != AETHER_OK:
            raise_cache_error(_name(status), self, cache, q, k, v, tokens)
        return out


    def step_many(self, q, k, v, caches):
        """One step of each of N different caches: the bits of N calls of `step`, in less time.

        q: (N, q_heads, head_dim); k, v: (N, kv_heads, head_dim); row n is the token of caches[n]. Returns (N, q_heads, head_dim).
        Errors as `step`, and InvalidArgumentError for a cache that stands twice; all caches are then as they were.
        """
        cdef Py_buffer views[4]
        cdef int held = 0
        cdef Py_ssize_t n, taken = 0
        cdef aether_status status
        cdef aether_cache **all_caches = NULL
        cdef Cache one
        cdef Memory scratch = None
        self._ready()
        cdef list own = list(caches)
        n = len(own)
        try:
            _take(q, "q", &views[0])
            held = 1
            _take(k, "k", &views[1])
            held = 2
            _take(v, "v", &views[2])
            held = 3
            _expect3(&views[0], "q", n, self.head.config.q_heads, self.head.config.head_dim)
            _expect3(&views[1], "k", n, self.head.config.kv_heads, self.head.config.head_dim)
            _expect3(&views[2], "v", n, self.head.config.kv_heads, self.head.config.head_dim)
            out = _empty(_shape(&views[0]), &views[3])
            held = 4
            all_caches = <aether_cache **> malloc((n + 1) * sizeof(aether_cache *))
            if all_caches == NULL:
                raise _no_memory(n * sizeof(aether_cache *))
            for cache in own:
                expect_type(cache, Cache, "caches", "KvCache objects")
                one = <Cache> cache
                if one.busy and any(cache is other for other in own[:taken]):
                    raise InvalidArgumentError.of("caches", "each cache once", f"caches[{taken}] a second time")
                one._idle()
                one._need_scratch()
                if scratch is None or one.scratch.size > scratch.size:
                    scratch = one.scratch
                one.busy = True
                all_caches[taken] = &one.cache
                taken += 1
            with nogil:
                status = aether_cache_step_many(
                    all_caches, n, &self.head, <const float *> views[0].buf, <const float *> views[1].buf,
                    <const float *> views[2].buf, <float *> views[3].buf, NULL if n == 0 else scratch.data,
                    0 if n == 0 else scratch.size)
        finally:
            while taken > 0:
                taken -= 1
                (<Cache> own[taken]).busy = False
            free(all_caches)
            while held > 0:
                held -= 1
                PyBuffer_Release(&views[held])
        if status != AETHER_OK:
            raise_many_error(_name(status), self, own, q, k, v)
        return out


cdef int _expect3(const Py_buffer *view, str field, size_t tokens, size_t heads, size_t dim) except -1:
    if (view.ndim == 3 and <size_t> view.shape[0] == tokens and <size_t> view.shape[1] == heads
            and <size_t> view.shape[2] == dim):
        return 0
    raise ShapeError.of(field, f"shape ({tokens}, {heads}, {dim})", _shape(view))


cdef Py_ssize_t _tokens(const Py_buffer *q, Head head) except -1:
    if (q.ndim == 3 and <size_t> q.shape[1] == head.head.config.q_heads
            and <size_t> q.shape[2] == head.head.config.head_dim):
        return q.shape[0]
    raise ShapeError.of("q", f"shape (T, {head.head.config.q_heads}, {head.head.config.head_dim})", _shape(q))


cdef class Attention:
    """One `forward`: inputs held, result in a buffer of its own. `run` does it all; `prepare` and `rows` in parts, which
    several threads may call for different sequences or rows."""

    cdef Head head
    cdef Py_buffer views[4]
    cdef int held
    cdef readonly Py_ssize_t batch
    cdef readonly Py_ssize_t tokens
    cdef aether_dtype dtype
    cdef object out
    cdef tuple inputs
    cdef aether_plan *plans
    cdef Scratch *scratches
    cdef size_t q_step
    cdef size_t kv_step

    def __cinit__(self, Head head not None, q, k, v, bint half):
        cdef Py_ssize_t heads, dim
        cdef Py_buffer *view
        head._ready()
        self.head = head
        self.inputs = (q, k, v)
        self.dtype = AETHER_BINARY16 if half else AETHER_BINARY32
        _take(q, "q", &self.views[0])
        self.held = 1
        _take(k, "k", &self.views[1])
        self.held = 2
        _take(v, "v", &self.views[2])
        self.held = 3
        heads, dim = head.head.config.q_heads, head.head.config.head_dim
        view = &self.views[0]
        if view.ndim not in (3, 4) or view.shape[view.ndim - 2] != heads or view.shape[view.ndim - 1] != dim:
            raise ShapeError.of("q", f"shape (T, {heads}, {dim}) or (N, T, {heads}, {dim})", _shape(view))
        self.batch = view.shape[0] if view.ndim == 4 else 1
        self.tokens = view.shape[view.ndim - 3]
        self._expect(&self.views[1], "k")
        self._expect(&self.views[2], "v")
        self.q_step = <size_t> self.tokens * head.head.config.q_heads * head.head.config.head_dim
        self.kv_step = <size_t> self.tokens * head.head.config.kv_heads * head.head.config.head_dim
        self.out = _empty(_shape(view), &self.views[3])
        self.held = 4

    cdef int _expect(self, const Py_buffer *view, str field) except -1:
        cdef const Py_buffer *q = &self.views[0]
        cdef bint fits = view.ndim == q.ndim
        cdef int axis
        if fits:
            for axis in range(q.ndim):
                if axis != q.ndim - 2 and view.shape[axis] != q.shape[axis]:
                    fits = False
            if <size_t> view.shape[q.ndim - 2] != self.head.head.config.kv_heads:
                fits = False
        if not fits:
            wanted = _shape(q)[:q.ndim - 2] + (self.head.head.config.kv_heads, q.shape[q.ndim - 1])
            raise ShapeError.of(field, f"shape {wanted}", _shape(view))
        return 0

    def __dealloc__(self):
        cdef Py_ssize_t n
        if self.scratches != NULL:
            for n in range(self.batch):
                free(self.scratches[n].base)
        free(self.scratches)
        free(self.plans)
        while self.held > 0:
            self.held -= 1
            PyBuffer_Release(&self.views[self.held])

    cdef int _fail(self, aether_status status) except -1:
        raise_forward_error(_name(status), *self.inputs)
        return -1

    def run(self, Py_ssize_t first, Py_ssize_t count):
        """Whole sequences [first, first + count) of the batch, one after the other."""
        cdef Scratch scratch
        cdef size_t need
        cdef aether_status status = AETHER_OK
        cdef Py_ssize_t n
        _check(aether_attention_workspace(&self.head.head, self.tokens, self.dtype, &need), "tokens")
        _borrow(&scratch, need)
        with nogil:
            for n in range(first, first + count):
                status = aether_attention_forward(
                    &self.head.head,
                    <const float *> self.views[0].buf + <size_t> n * self.q_step,
                    <const float *> self.views[1].buf + <size_t> n * self.kv_step,
                    <const float *> self.views[2].buf + <size_t> n * self.kv_step,
                    self.tokens, self.dtype, <float *> self.views[3].buf + <size_t> n * self.q_step,
                    scratch.data, scratch.size)
                if status != AETHER_OK:
                    break
        free(scratch.base)
        if status != AETHER_OK:
            self._fail(status)

    def plan(self):
        """Memory for `prepare`."""
        cdef size_t need
        cdef Py_ssize_t n
        _check(aether_attention_plan_size(&self.head.head, self.tokens, self.dtype, &need), "tokens")
        self.plans = <aether_plan *> calloc(self.batch + 1, sizeof(aether_plan))
        self.scratches = <Scratch *> calloc(self.batch + 1, sizeof(Scratch))
        if self.plans == NULL or self.scratches == NULL:
            raise _no_memory(self.batch * sizeof(aether_plan))
        for n in range(self.batch):
            _borrow(&self.scratches[n], need)

    def prepare(self, Py_ssize_t n):
        """Checks and prepares keys and values of sequence `n`."""
        cdef aether_status status
        with nogil:
            status = aether_attention_prepare(
                &self.plans[n], &self.head.head,
                <const float *> self.views[1].buf + <size_t> n * self.kv_step,
                <const float *> self.views[2].buf + <size_t> n * self.kv_step,
                self.tokens, self.dtype, self.scratches[n].data, self.scratches[n].size)
        if status != AETHER_OK:
            self._fail(status)

    def rows(self, Py_ssize_t n, Py_ssize_t first, Py_ssize_t count):
        """Rows [first, first + count) of sequence `n`, which is prepared."""
        cdef Scratch scratch
        cdef size_t need
        cdef aether_status status
        _check(aether_attention_rows_size(&self.head.head, self.tokens, &need), "tokens")
        _borrow(&scratch, need)
        with nogil:
            status = aether_attention_rows(
                &self.plans[n], <const float *> self.views[0].buf + <size_t> n * self.q_step, first, count,
                <float *> self.views[3].buf + <size_t> n * self.q_step, scratch.data, scratch.size)
        free(scratch.base)
        if status != AETHER_OK:
            self._fail(status)

    def result(self):
        """The outputs, as q."""
        return self.out
