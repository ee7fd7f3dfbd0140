# Gradients of attention over whole sequences (csrc/train/gradient.h).

# Units (a sequence and a key/value head) below which rows are cut into chunks as well, so that threads find work. Both say how
# sums are grouped: results depend on them, and never on the number of threads.
cdef Py_ssize_t _ENOUGH_UNITS = 8
cdef Py_ssize_t _CHUNK_ROWS = 256


cdef class AttentionGradient:
    """One backward: inputs held, gradients in buffers of their own. With one chunk, `run` does whole units; with more, `plan`,
    then `pack` of every unit, `rows` of every unit and chunk, `finish` of every unit. Several threads may call for different
    units or chunks."""

    cdef Head head
    cdef Py_buffer views[7]
    cdef int held
    cdef readonly Py_ssize_t tokens
    cdef readonly Py_ssize_t units
    cdef readonly Py_ssize_t chunks
    cdef tuple out
    cdef Scratch *panels
    cdef Scratch *sums

    def __cinit__(self, Head head not None, q, k, v, d_out):
        cdef Py_ssize_t batch, kv_heads, dim, index
        head._ready()
        self.head = head
        for index, (field, value) in enumerate((("q", q), ("k", k), ("v", v), ("d_out", d_out))):
            _take(value, field, &self.views[index])
            self.held = index + 1
        kv_heads, dim = head.head.config.kv_heads, head.head.config.head_dim
        shape = _shape(&self.views[0])
        if len(shape) != 4 or shape[2] != head.head.config.q_heads or shape[3] != dim:
            raise ShapeError.of("q", f"shape (N, T, {head.head.config.q_heads}, {dim})", shape)
        batch, self.tokens = shape[:2]
        for index, field, heads in ((1, "k", kv_heads), (2, "v", kv_heads), (3, "d_out", shape[2])):
            if _shape(&self.views[index]) != (batch, self.tokens, heads, dim):
                raise ShapeError.of(field, f"shape {(batch, self.tokens, heads, dim)}", _shape(&self.views[index]))
        self.units = batch * kv_heads
        self.chunks = 1
        if 0 < self.units < _ENOUGH_UNITS:
            self.chunks = max(1, min(-(-_ENOUGH_UNITS // self.units), self.tokens // _CHUNK_ROWS))
        gradients = []
        for index in range(3):
            gradients.append(_empty(_shape(&self.views[index]), &self.views[4 + index]))
            self.held = 5 + index
        self.out = tuple(gradients)

    def __dealloc__(self):
        cdef Py_ssize_t unit
        for unit in range(self.units):
            if self.panels != NULL:
                free(self.panels[unit].base)
            if self.sums != NULL:
                free(self.sums[unit].base)
        free(self.panels)
        free(self.sums)
        while self.held > 0:
            self.held -= 1
            PyBuffer_Release(&self.views[self.held])

    cdef aether_gradient _job(self, Py_ssize_t unit) noexcept nogil:
        """The sequence of a unit."""
        cdef const aether_head *head = &self.head.head
        cdef size_t q = <size_t> (unit // head.config.kv_heads) * self.tokens * head.config.q_heads * head.config.head_dim
        cdef size_t kv = <size_t> (unit // head.config.kv_heads) * self.tokens * head.config.kv_heads * head.config.head_dim
        cdef aether_gradient job
        job.head = head
        job.tokens = self.tokens
        job.q = <const float *> self.views[0].buf + q
        job.k = <const float *> self.views[1].buf + kv
        job.v = <const float *> self.views[2].buf + kv
        job.d_out = <const float *> self.views[3].buf + q
        job.d_q = <float *> self.views[4].buf + q
        job.d_k = <float *> self.views[5].buf + kv
        job.d_v = <float *> self.views[6].buf + kv
        return job

    def run(self, Py_ssize_t first, Py_ssize_t count):
        """Whole units [first, first + count), one after the other; for a single chunk."""
        cdef Scratch panel, sums, scratch
        cdef aether_gradient_memory need
        cdef aether_gradient job
        cdef aether_status status = AETHER_OK
        cdef Py_ssize_t unit
        cdef size_t kv
        panel.base = sums.base = scratch.base = NULL
        _check(aether_gradient_size(&self.head.head, self.tokens, &need), "tokens")
        try:
            _borrow(&panel, need.panel)
            _borrow(&sums, need.sums)
            _borrow(&scratch, need.scratch)
            with nogil:
                for unit in range(first, first + count):
                    job = self._job(unit)
                    kv = unit % self.head.head.config.kv_heads
                    status = aether_gradient_pack(&job, kv, panel.data)
                    if status == AETHER_OK:
                        status = aether_gradient_rows(&job, kv, panel.data, 0, self.tokens, sums.data, scratch.data)
                    if status == AETHER_OK:
                        status = aether_gradient_finish(&job, kv, sums.data, 1)
                    if status != AETHER_OK:
                        break
        finally:
            free(panel.base)
            free(sums.base)
            free(scratch.base)
        _check(status, "gradient")

    def plan(self):
        """Memory for `pack` and `rows`."""
        cdef aether_gradient_memory need
        cdef Py_ssize_t unit
        _check(aether_gradient_size(&self.head.head, self.tokens, &need), "tokens")
        self.panels = <Scratch *> calloc(self.units + 1, sizeof(Scratch))
        self.sums = <Scratch *> calloc(self.units + 1, sizeof(Scratch))
        if self.panels == NULL or self.sums == NULL or need.sums > SIZE_MAX // self.chunks:
            raise _no_memory(self.units * sizeof(Scratch))
        for unit in range(self.units):
            _borrow(&self.panels[unit], need.panel)
            _borrow(&self.sums[unit], need.sums * self.chunks)

    def pack(self, Py_ssize_t unit):
        """Keys, values and block means of a unit."""
        cdef aether_gradient job = self._job(unit)
        cdef size_t kv = unit % self.head.head.config.kv_heads
        cdef aether_status status
        with nogil:
            status = aether_gradient_pack(&job, kv, self.panels[unit].data)
        _check(status, "gradient")

    def rows(self, Py_ssize_t unit, Py_ssize_t chunk):
        """A chunk of the rows of a unit that is packed."""
        cdef aether_gradient job = self._job(unit)
        cdef size_t kv = unit % self.head.head.config.kv_heads
        cdef size_t first = chunk * self.tokens // self.chunks
        cdef size_t end = (chunk + 1) * self.tokens // self.chunks
        cdef Scratch scratch
        cdef aether_gradient_memory need
        cdef aether_status status
        _check(aether_gradient_size(&self.head.head, self.tokens, &need), "tokens")
        _borrow(&scratch, need.scratch)
        with nogil:
            status = aether_gradient_rows(&job, kv, self.panels[unit].data, first, end - first,
                                          self.sums[unit].data + <size_t> chunk * need.sums, scratch.data)
        free(scratch.base)
        _check(status, "gradient")

    def finish(self, Py_ssize_t unit):
        """Adds the chunks of a unit up."""
        cdef aether_gradient job = self._job(unit)
        cdef size_t kv = unit % self.head.head.config.kv_heads
        cdef aether_status status
        with nogil:
            status = aether_gradient_finish(&job, kv, self.sums[unit].data, self.chunks)
        _check(status, "gradient")

    def result(self):
        """The gradients of q, k and v."""
        return self.out
