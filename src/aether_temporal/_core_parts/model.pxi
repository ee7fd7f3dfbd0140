# The model in a blob, and streams of it.

_DTYPES = ("float32", "float16", "int8", "int32")  # in the order of aether_dtype


cdef struct TraceTarget:
    Py_buffer *views
    size_t bytes[4]


cdef void _keep_layer(void *user, size_t layer, const float *q, const float *k, const float *v,
                      const float *out) noexcept nogil:
    cdef const TraceTarget *target = <const TraceTarget *> user
    cdef const Py_buffer *views = target.views + 4 * layer
    memcpy(views[0].buf, q, target.bytes[0])
    memcpy(views[1].buf, k, target.bytes[1])
    memcpy(views[2].buf, v, target.bytes[2])
    memcpy(views[3].buf, out, target.bytes[3])


cdef class Trace:
    """Arrays that one traced run fills: q, k, v and out of each layer, appended to `layers`."""

    cdef TraceTarget target
    cdef int held

    def __cinit__(self, Model model not None, Py_ssize_t tokens, list layers):
        cdef const aether_config *config = &model.model.head.config
        cdef Py_ssize_t n_layers = model.model.header.n_layers
        cdef Py_ssize_t layer, array
        heads = (config.q_heads, config.kv_heads, config.kv_heads, config.q_heads)
        self.target.views = <Py_buffer *> calloc(4 * n_layers, sizeof(Py_buffer))
        if self.target.views == NULL:
            raise _no_memory(4 * n_layers * sizeof(Py_buffer))
        for layer in range(n_layers):
            arrays = []
            for array in range(4):
                arrays.append(_empty((tokens, heads[array], config.head_dim), &self.target.views[self.held]))
                self.target.bytes[array] = <size_t> self.target.views[self.held].len
                self.held += 1
            layers.append(tuple(arrays))

    def __dealloc__(self):
        while self.held > 0:
            self.held -= 1
            PyBuffer_Release(&self.target.views[self.held])
        free(self.target.views)


cdef class Model:
    """aether_model on bytes that it keeps."""

    cdef aether_model model
    cdef bytes raw

    def __init__(self, blob, kernels=None):
        cdef aether_detail detail
        cdef aether_status status
        expect_type(blob, bytes, "blob", "bytes (from_blob takes more)")
        cdef bytes raw = bytes(blob)
        cdef const aether_kernels *variant = _kernels(kernels)
        cdef const char *data = PyBytes_AsString(raw)
        cdef size_t size = <size_t> len(raw)
        detail.field = NULL
        if self.raw is not None:
            raise InvalidArgumentError.of("model", "one initialisation", "a second one")
        self.raw = raw  # bytes objects begin at a multiple of 8
        with nogil:
            status = aether_model_open(&self.model, data, size, variant, &detail)
        _check_blob(status, &detail, data, size)

    cdef int _ready(self) except -1:
        if self.raw is None or self.model.head.kernels == NULL:
            raise InvalidArgumentError.of("model", "an initialised model", "one whose __init__ failed")
        return 0

    @property
    def kernels(self):
        """Name of the kernel variant that runs."""
        self._ready()
        return self.model.head.kernels.name.decode()

    @property
    def blob(self):
        """The bytes the model was made of."""
        self._ready()
        return self.raw

    @property
    def head_config(self):
        """Arguments of the attention's TemporalHeadConfig."""
        cdef const aether_config *config = &self.model.head.config
        self._ready()
        return _settings_of(config, [config.globals[i] for i in range(config.n_globals)])

    @property
    def width(self):
        """Model width."""
        return self.model.width

    @property
    def embed_dim(self):
        """Values of an embedding; 0 without."""
        return self.model.embed_dim

    @property
    def n_pairs(self):
        """I/Q pairs of a raw frame; 0 when the blob does not say."""
        return self.model.n_pairs

    @property
    def class_names(self):
        """Names of the classes; None when the blob has none."""
        if self.model.class_names == NULL:
            return None
        names = PyBytes_FromStringAndSize(self.model.class_names, <Py_ssize_t> self.model.class_names_bytes)
        return tuple(name.decode() for name in names.split(b"\0")[:self.model.header.n_classes])

    @property
    def frame_rate(self):
        """Frames a second; None when the blob does not say."""
        return self.model.frame_rate if self.model.frame_rate > 0 else None

    @property
    def temperature(self):
        """By what the logits were divided so that their softmax is calibrated; None when they are not calibrated."""
        return self.model.temperature if self.model.temperature > 0 else None

    @property
    def label_delay(self):
        """Frames: the prediction after frame t is for frame t - label_delay."""
        return self.model.label_delay

    @property
    def provenance(self):
        """Free text; None when the blob has none."""
        if self.model.provenance == NULL:
            return None
        return PyBytes_FromStringAndSize(self.model.provenance, <Py_ssize_t> self.model.provenance_bytes).decode()

    def array_rows(self):
        """(name, layer or None, dtype, offset from the start of the blob, shape) of every array, in blob order."""
        cdef aether_array array
        cdef size_t index = 0
        self._ready()
        found = []
        while aether_model_array(&self.model, index, &array) == AETHER_OK:
            shape = tuple([array.dims[i] for i in range(1 if array.dims[1] == 0 else 2)])
            found.append((
                array.name.decode(),
                None if array.layer == <uint32_t> 0xFFFFFFFF else array.layer,
                _DTYPES[array.dtype],
                array.offset,
                shape,
            ))
            index += 1
        return found

    def kept_as(self, dtype):
        """How a stream of this model keeps keys and values that is asked for `dtype`."""
        return "int8" if self.model.dtype == AETHER_INT8 else dtype

    def most_input(self):
        """The least magnitude that a frame of a model in integers must not hold; None for other models."""
        return 32767.5 * self.model.input_unit if self.model.dtype == AETHER_INT8 else None

    def memory_of(self, context, dtype, pointer_bytes=None):
        """(flash, state, scratch, cache_rows, multiply_adds) of a stream of this context and dtype, on a machine whose
        pointers have `pointer_bytes` bytes; None: this one."""
        cdef aether_memory memory
        cdef size_t pointer = sizeof(void *) if pointer_bytes is None else 0
        self._ready()
        if pointer_bytes is not None:
            if as_index(pointer_bytes) not in (4, 8):
                raise InvalidConfigError.of("pointer_bytes", "4 or 8", repr(pointer_bytes))
            pointer = pointer_bytes
        cdef uint64_t frames = _at_least_one(context, "context")
        _sized(aether_model_memory_on(&self.model, frames, _dtype(dtype), pointer, &memory), None, "context", context)
        return memory.flash, memory.state, memory.scratch, memory.cache_rows, memory.multiply_adds

    def pool_nbytes(self, most, context, dtype="float32"):
        """Bytes a pool of `most` streams would take, without making it. InvalidConfigError, TooLargeError."""
        cdef size_t need
        self._ready()
        index = as_index(most)
        if index is None or not 1 <= index <= 1 << 31:
            raise InvalidConfigError.of("most", "an integer from 1 to 2**31", repr(most))
        cdef uint64_t frames = _at_least_one(context, "context")
        _sized(aether_pool_size(&self.model, frames, _dtype(dtype), index, &need), None, "most", most)
        return need

    def run(self, frames, context, dtype, bint embeddings):
        """(logits, embeddings or None) after each frame; see TemporalModel."""
        return self._run(frames, context, dtype, embeddings, None)

    def layers(self, frames, context, dtype):
        """(q, k, v, out) of each layer's attention; see TemporalModel.trace."""
        layers = []
        self._ready()
        if self.model.dtype == AETHER_INT8:
            raise InvalidConfigError.of("trace", "a model in floating point", "int8")
        self._run(frames, context, dtype, False, layers)
        return layers

    cdef tuple _run(self, frames, context, dtype, bint embeddings, list layers):
        cdef Py_buffer views[3]
        cdef int held = 0
        cdef uint64_t limit = 0 if context is None else _at_least_one(context, "context")
        cdef aether_dtype kind = _dtype(dtype)
        cdef size_t need, tokens
        cdef aether_status status
        cdef float *target = NULL
        cdef Scratch scratch
        cdef Trace trace = None
        cdef void *user = NULL
        cdef aether_trace keep = NULL
        scratch.base = NULL
        self._ready()
        if embeddings and self.model.embed_dim == 0:
            raise ShapeError.of("embeddings", "a model with an embedding", "one without")
        rows = None
        try:
            _take(frames, "frames", &views[0])
            held = 1
            if views[0].ndim != 2 or views[0].shape[1] != self.model.header.input_dim:
                raise ShapeError.of("frames", f"shape (T, {self.model.header.input_dim})", _shape(&views[0]))
            tokens = views[0].shape[0]
            logits = _empty((views[0].shape[0], self.model.header.n_classes), &views[1])
            held = 2
            if embeddings:
                rows = _empty((views[0].shape[0], self.model.embed_dim), &views[2])
                held = 3
                target = <float *> views[2].buf
            _sized(aether_model_workspace(&self.model, tokens, limit, kind, &need), None, "context", context)
            _borrow(&scratch, need)
            if layers is not None:
                trace = Trace(self, tokens, layers)
                user, keep = &trace.target, _keep_layer
            with nogil:
                status = aether_model_trace(
                    &self.model, <const float *> views[0].buf, tokens, limit, kind, <float *> views[1].buf, target,
                    keep, user, scratch.data, scratch.size)
        finally:
            free(scratch.base)
            while held > 0:
                held -= 1
                PyBuffer_Release(&views[held])
        if status != AETHER_OK:
            raise_model_error(_name(status), frames, dtype, self.most_input())
        return logits, rows

    def amplitudes(self, iq):
        """Amplitudes [input_dim] of the model's subcarriers in a raw int8 frame [n_pairs, 2]."""
        cdef Py_buffer view
        cdef aether_status status
        self._ready()
        cdef Bytes held = Bytes(iq, "iq")
        out = _empty((self.model.header.input_dim,), &view)
        status = aether_csi_frame(
            &self.model, NULL, <const int8_t *> held.view.buf, <size_t> held.view.len // 2, 0, <float *> view.buf)
        PyBuffer_Release(&view)
        if status == AETHER_E_SHAPE:
            pairs = self.model.n_pairs if self.model.n_pairs else self.model.header.input_dim
            raise ShapeError.of("iq", f"{pairs} I/Q pairs", held.view.len // 2)
        _check(status, "iq")
        return out


def csi_amplitude(iq, subcarriers):
    """sqrt(I*I + Q*Q) of int8 pairs, or of int16 pairs of 12-bit values, [n_pairs, 2]; `subcarriers`: uint16 indices, or None
    for all pairs."""
    cdef Py_buffer view
    cdef aether_status status
    cdef Bytes held = Bytes(iq, "iq")
    cdef Bytes index = None
    cdef const uint16_t *wanted = NULL
    cdef bint words = iq.dtype.itemsize == 2
    cdef size_t pairs = <size_t> held.view.len // (4 if words else 2)
    cdef size_t n = pairs
    if subcarriers is not None:
        index = Bytes(subcarriers, "subcarriers")
        wanted = <const uint16_t *> index.view.buf
        n = <size_t> index.view.len // 2
    out = _empty((n,), &view)
    with nogil:
        if words:
            status = aether_csi_amplitude12(<const int16_t *> held.view.buf, pairs, wanted, n, <float *> view.buf)
        else:
            status = aether_csi_amplitude(<const int8_t *> held.view.buf, pairs, wanted, n, <float *> view.buf)
    PyBuffer_Release(&view)
    if status == AETHER_E_SHAPE:
        raise ShapeError.of("subcarriers", f"indices below {pairs}", max(memoryview(subcarriers).cast("B").cast("H")))
    _check(status, "iq")
    return out


cdef object _copy_of(const float *values, size_t n):
    cdef Py_buffer view
    if values == NULL:
        return None
    out = _empty((n,), &view)
    memcpy(view.buf, values, n * sizeof(float))
    PyBuffer_Release(&view)
    return out


cdef bytes _state_of(const aether_stream *stream):
    cdef aether_status status
    cdef size_t size = aether_stream_saved_size(stream)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> size)
    cdef char *target = PyBytes_AsString(out)
    with nogil:
        status = aether_stream_save(stream, target, size)
    _check(status, "stream")
    return out


cdef class Stream:
    """aether_stream with the memory it lives in."""

    cdef aether_stream stream
    cdef Memory memory
    cdef readonly Model model
    cdef tuple push_out
    cdef bint busy

    def __init__(self, model, context=256, dtype="float32"):
        cdef size_t need
        expect_type(model, Model, "model", "a TemporalModel")
        cdef Model own = model
        cdef aether_dtype kind = _dtype(dtype)
        cdef uint64_t rows = _at_least_one(context, "context")
        own._ready()
        if self.memory is not None:
            raise InvalidArgumentError.of("stream", "one initialisation", "a second one")
        _sized(aether_stream_size(&own.model, rows, kind, &need), None, "context", context)
        self.memory = Memory(need)
        self.model = own
        self.push_out = ((own.model.header.n_classes,), _numpy_float32)
        _check(aether_stream_init(&self.stream, &own.model, rows, kind, self.memory.data, need), "context")

    cdef int _idle(self) except -1:
        if self.busy:
            raise _busy("stream")
        if self.stream.model == NULL:
            raise InvalidArgumentError.of("stream", "an initialised stream", "one whose __init__ failed")
        return 0

    def __len__(self):
        return self.stream.length

    @property
    def context(self):
        """Frames a query can see."""
        return self.stream.context

    @property
    def dtype(self):
        """Type of the cache: "float32" or "float16"; "int8" of a model in integers."""
        return _DTYPES[self.stream.dtype]

    @property
    def nbytes(self):
        """Bytes of memory: state and scratch."""
        return self.stream.memory_bytes

    def push(self, frame):
        """Take one frame, (input_dim,) real numbers; returns the logits, a new float32 array (n_classes,): row
        `len(stream) - 1` of `model.forward` over all frames so far at this context and dtype, bit for bit.

        ShapeError, NonFiniteError, ResultOverflowError, CacheBusyError; the stream is then as it was.
        """
        cdef Py_buffer views[2]
        cdef int held = 0
        cdef aether_status status
        self._idle()
        try:
            _take(frame, "frame", &views[0])
            held = 1
            if views[0].ndim != 1 or views[0].shape[0] != self.model.model.header.input_dim:
                raise ShapeError.of("frame", f"shape ({self.model.model.header.input_dim},)", _shape(&views[0]))
            out = _empty_of(self.push_out, &views[1])
            held = 2
            self._idle()
            self.busy = True
            with nogil:
                status = aether_stream_push(&self.stream, <const float *> views[0].buf)
                if status == AETHER_OK:
                    memcpy(views[1].buf, aether_stream_logits(&self.stream), <size_t> views[1].len)
            self.busy = False
        finally:
            while held > 0:
                held -= 1
                PyBuffer_Release(&views[held])
        if status != AETHER_OK:
            raise_push_error(_name(status), frame, self.dtype, self.model.most_input())
        return out

    @property
    def logits(self):
        """The newest logits, (n_classes,) float32, a copy; None before the first frame."""
        self._idle()
        return _copy_of(aether_stream_logits(&self.stream), self.model.model.header.n_classes)

    @property
    def embedding(self):
        """The newest embedding, L2-normalised (embed_dim,) float32, a copy; None before the first frame and for a model
        without one."""
        self._idle()
        return _copy_of(aether_stream_embedding(&self.stream), self.model.model.embed_dim)

    def reset(self):
        """Forget all frames. CacheBusyError."""
        self._idle()
        aether_stream_reset(&self.stream)

    def to_bytes(self):
        """The stream's state, with a CRC (docs/spec/state.md)."""
        self._idle()
        self.busy = True
        try:
            return _state_of(&self.stream)
        finally:
            self.busy = False

    def restore(self, state):
        """Continue from `to_bytes` of a stream of the same blob, context and dtype. SavedStateError, CacheMismatchError; the
        stream is then as it was."""
        cdef aether_detail detail
        cdef aether_status status
        cdef Bytes held = Bytes(state, "state")
        detail.field = NULL
        self._idle()
        self.busy = True
        with nogil:
            status = aether_stream_load(&self.stream, held.view.buf, <size_t> held.view.len, &detail)
        self.busy = False
        _check_detail(status, &detail)


cdef class Pool:
    """aether_pool with the memory it lives in. Ids are 64-bit numbers."""

    cdef aether_pool pool
    cdef Memory memory
    cdef readonly Model model
    cdef readonly object context
    cdef readonly str dtype
    cdef bint busy

    def __init__(self, model, most, context=256, dtype="float32"):
        cdef size_t need
        expect_type(model, Model, "model", "a TemporalModel")
        cdef Model own = model
        cdef aether_dtype kind = _dtype(dtype)
        cdef uint64_t frames = _at_least_one(context, "context")
        if self.memory is not None:
            raise InvalidArgumentError.of("pool", "one initialisation", "a second one")
        need = own.pool_nbytes(most, context, dtype)
        self.memory = Memory(need)
        _check(aether_pool_init(&self.pool, &own.model, frames, kind, most, self.memory.data, need), "most")
        self.model, self.context, self.dtype = own, frames, own.kept_as(dtype)

    cdef int _idle(self) except -1:
        if self.busy:
            raise _busy("pool")
        if self.model is None:
            raise InvalidArgumentError.of("pool", "an initialised pool", "one whose __init__ failed")
        return 0

    cdef const aether_stream *_at(self, uint64_t number) except NULL:
        self._idle()
        cdef const aether_stream *stream = aether_pool_at(&self.pool, number)
        if stream == NULL:
            raise InvalidArgumentError.of("id", "the id of a stream in the pool", number)
        return stream

    def __len__(self):
        return self.pool.count

    @property
    def most(self):
        """Streams that it can hold."""
        return self.pool.most

    @property
    def nbytes(self):
        """Bytes of memory, all taken when the pool is made."""
        return self.pool.memory_bytes

    def take(self, ids, frames, bint embeddings):
        """(logits, embeddings or None, (row, status name) of each row that failed, evicted ids) of a push; ids: uint64."""
        cdef Py_buffer views[3]
        cdef int held = 0
        cdef size_t n, row
        cdef aether_status status = AETHER_OK
        cdef aether_pushed pushed
        cdef Bytes numbers = Bytes(ids, "ids")
        pushed.embeddings = NULL
        pushed.results = NULL
        pushed.evicted = NULL
        self._idle()
        if embeddings and self.model.model.embed_dim == 0:
            raise ShapeError.of("embeddings", "a model with an embedding", "one without")
        failed, evicted, rows = [], [], None
        n = <size_t> numbers.view.len // 8
        if n > self.pool.most:
            raise ShapeError.of("ids", f"at most {self.pool.most}, as many as the pool has places", n)
        try:
            _take(frames, "frames", &views[0])
            held = 1
            if (views[0].ndim != 2 or <size_t> views[0].shape[0] != n
                    or views[0].shape[1] != self.model.model.header.input_dim):
                raise ShapeError.of("frames", f"shape ({n}, {self.model.model.header.input_dim})", _shape(&views[0]))
            logits = _empty((n, self.model.model.header.n_classes), &views[1])
            held = 2
            pushed.logits = <float *> views[1].buf
            if embeddings:
                rows = _empty((n, self.model.model.embed_dim), &views[2])
                held = 3
                pushed.embeddings = <float *> views[2].buf
            pushed.results = <aether_status *> malloc((n + 1) * sizeof(aether_status))
            pushed.evicted = <uint64_t *> malloc((n + 1) * sizeof(uint64_t))
            if pushed.results == NULL or pushed.evicted == NULL:
                raise _no_memory(n * sizeof(uint64_t))
            self._idle()  # conversion may have let other threads run
            self.busy = True
            with nogil:
                status = aether_pool_push(&self.pool, <const uint64_t *> numbers.view.buf, n, <const float *> views[0].buf, &pushed)
            self.busy = False
            if status == AETHER_OK:
                evicted = [pushed.evicted[row] for row in range(pushed.n_evicted)]
                for row in range(n):
                    if pushed.results[row] != AETHER_OK:
                        failed.append((row, _name(pushed.results[row])))
        finally:
            free(pushed.results)
            free(pushed.evicted)
            while held > 0:
                held -= 1
                PyBuffer_Release(&views[held])
        if status != AETHER_OK:
            raise_model_error(_name(status), frames, self.dtype, self.model.most_input())
        return logits, rows, failed, evicted

    def length_of(self, number):
        """Frames so far of a stream."""
        return self._at(number).length

    def logits_of(self, number):
        """The newest logits of a stream, a copy; None before its first frame."""
        return _copy_of(aether_stream_logits(self._at(number)), self.model.model.header.n_classes)

    def embedding_of(self, number):
        """The newest embedding of a stream, a copy; None before its first frame and for a model without one."""
        return _copy_of(aether_stream_embedding(self._at(number)), self.model.model.embed_dim)

    def state_of(self, number):
        """The saved state of a stream."""
        cdef const aether_stream *stream = self._at(number)
        self.busy = True
        try:
            return _state_of(stream)
        finally:
            self.busy = False

    def put(self, uint64_t number, state):
        """Puts a saved state in the place of a stream, which is made where it is not there. CacheFullError, SavedStateError,
        CacheMismatchError."""
        cdef aether_detail detail
        cdef aether_status status
        cdef Bytes held = Bytes(state, "state")
        detail.field = NULL
        self._idle()
        self.busy = True
        with nogil:
            status = aether_pool_load(&self.pool, number, held.view.buf, <size_t> held.view.len, &detail)
        self.busy = False
        _check_detail(status, &detail)

    def forget(self, number):
        """Gives the place of a stream back."""
        self._at(number)
        _check(aether_pool_drop(&self.pool, number), "id")

    def numbers(self):
        """The ids, least recently used first."""
        cdef uint64_t *ids
        cdef size_t row
        self._idle()
        ids = <uint64_t *> malloc((<size_t> self.pool.count + 1) * sizeof(uint64_t))
        if ids == NULL:
            raise _no_memory(self.pool.count * sizeof(uint64_t))
        aether_pool_ids(&self.pool, ids)
        found = [ids[row] for row in range(self.pool.count)]
        free(ids)
        return found
