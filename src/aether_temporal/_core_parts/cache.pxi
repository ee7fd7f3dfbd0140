# The key/value cache.


def _busy(field):
    return CacheBusyError.of(field, "one caller at a time", "another thread inside")


cdef aether_dtype _dtype(object name) except *:
    expect_choice(name, _CACHE_DTYPES, "dtype")
    cdef int kind = _CACHE_DTYPES.index(name)
    return <aether_dtype> kind


cdef uint64_t _at_least_one(object value, str field) except? 0:
    """1 to 2**64 - 1."""
    index = as_index(value)
    if index is None or not 1 <= index < 1 << 64:
        raise InvalidConfigError.of(field, "an integer from 1 to 2**64 - 1", repr(value))
    return index


cdef class Cache:
    """aether_cache with the memory it lives in."""

    cdef aether_cache cache
    cdef Memory memory
    cdef Memory scratch
    cdef Pattern pattern
    cdef bint busy
    cdef readonly object config

    def __init__(self, head, capacity=1024, dtype="float32", on_full="error"):
        cdef size_t need
        expect_type(head, Head, "head", "an AetherTemporalHead")
        cdef Head maker = head
        cdef aether_dtype kind = _dtype(dtype)
        cdef uint64_t rows = _at_least_one(capacity, "capacity")
        maker._ready()
        if self.memory is not None:
            raise InvalidArgumentError.of("cache", "one initialisation", "a second one")
        expect_choice(on_full, ("error", "ring"), "on_full")
        cdef aether_policy policy = AETHER_ON_FULL_RING if on_full == "ring" else AETHER_ON_FULL_ERROR
        _sized(aether_cache_size(&maker.head, rows, kind, &need), maker.config, "capacity", capacity)
        self.memory = Memory(need)
        self.config = maker.config
        self.pattern = maker.pattern
        _check(aether_cache_init(&self.cache, &maker.head, rows, kind, policy, self.memory.data, need), "capacity")

    cdef int _need_scratch(self) except -1:
        """Memory a step works in. Made by the first one: it grows with q_heads, which a saved state may claim freely."""
        cdef size_t need
        if self.scratch is None:
            _check(aether_cache_scratch(&self.cache, 1, &need), "capacity")
            self.scratch = Memory(need)
        return 0

    cdef int _idle(self) except -1:
        if self.busy:
            raise _busy("cache")
        if self.memory is None:
            raise InvalidArgumentError.of("cache", "an initialised cache", "one whose __init__ failed")
        return 0

    def __len__(self):
        return min(self.cache.length, self.cache.capacity)

    @property
    def tokens(self):
        """Tokens since the start or the last reset; a ring counts beyond `capacity`."""
        return self.cache.length

    @property
    def capacity(self):
        """Tokens a query can see (and, with on_full "error", all the cache takes)."""
        return self.cache.capacity

    @property
    def rows(self):
        """Token rows held in memory: what a later query can still see, not `capacity`."""
        return self.cache.n_rows

    @property
    def nbytes(self):
        """Bytes of memory for keys, values and block means."""
        return self.cache.memory_bytes

    @property
    def dtype(self):
        """How keys and values are kept: "float32" or "float16"."""
        return _CACHE_DTYPES[self.cache.dtype]

    @property
    def on_full(self):
        """ "error" or "ring"."""
        return "ring" if self.cache.policy == AETHER_ON_FULL_RING else "error"

    def reset(self):
        """Forget all tokens. CacheBusyError."""
        self._idle()
        aether_cache_reset(&self.cache)

    def append(self, k, v):
        """Append T tokens without attending; k, v: (T, kv_heads, head_dim). Errors as `step`; the cache is then as it was."""
        cdef Py_buffer views[2]
        cdef int held = 0
        cdef size_t tokens
        cdef aether_status status
        self._idle()
        try:
            _take(k, "k", &views[0])
            held = 1
            _take(v, "v", &views[1])
            held = 2
            tokens = views[0].shape[0] if views[0].ndim == 3 else 0
            _expect3(&views[0], "k", tokens, self.cache.head.config.kv_heads, self.cache.head.config.head_dim)
            _expect3(&views[1], "v", tokens, self.cache.head.config.kv_heads, self.cache.head.config.head_dim)
            self._idle()
            self.busy = True
            with nogil:
                status = aether_cache_append(
                    &self.cache, <const float *> views[0].buf, <const float *> views[1].buf, tokens)
            self.busy = False
        finally:
            while held > 0:
                held -= 1
                PyBuffer_Release(&views[held])
        if status != AETHER_OK:
            raise_cache_error(_name(status), None, self, None, k, v, tokens)

    def to_bytes(self):
        """The cache's state, self-describing, with a CRC (docs/spec/state.md)."""
        cdef aether_status status
        cdef bytes out
        cdef char *target
        self._idle()
        cdef size_t size = aether_cache_saved_size(&self.cache)
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> size)
        target = PyBytes_AsString(out)
        self.busy = True
        with nogil:
            status = aether_cache_save(&self.cache, target, size)
        self.busy = False
        _check(status, "cache")
        return out

    def load(self, state):
        """State of a cache of the same head, capacity, dtype and policy. SavedStateError, CacheMismatchError; the cache is then
        as it was."""
        cdef aether_detail detail
        cdef aether_status status
        cdef Bytes held = Bytes(state, "state")
        detail.field = NULL
        self._idle()
        self.busy = True
        with nogil:
            status = aether_cache_load(&self.cache, held.view.buf, <size_t> held.view.len, &detail)
        self.busy = False
        _check_detail(status, &detail)


def peek_state(state):
    """What a saved cache says about itself: a dict of head settings, capacity, dtype, on_full, tokens. SavedStateError."""
    cdef aether_saved saved
    cdef aether_detail detail
    cdef Bytes held = Bytes(state, "state")
    cdef const unsigned char *data = <const unsigned char *> held.view.buf
    cdef const unsigned char *at
    cdef size_t index
    detail.field = NULL
    _check_detail(aether_cache_peek(data, <size_t> held.view.len, &saved, &detail), &detail)
    tokens = []
    for index in range(saved.config.n_globals):
        at = data + saved.globals_offset + 4 * index
        tokens.append(<uint32_t> at[0] | <uint32_t> at[1] << 8 | <uint32_t> at[2] << 16 | <uint32_t> at[3] << 24)
    return {
        "config": _settings_of(&saved.config, tokens),
        "capacity": saved.capacity,
        "tokens": saved.length,
        "dtype": "float16" if saved.dtype == AETHER_BINARY16 else "float32",
        "on_full": "ring" if saved.policy == AETHER_ON_FULL_RING else "error",
    }
