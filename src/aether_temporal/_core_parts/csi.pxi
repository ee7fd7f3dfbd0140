# Frames in bursts to frames on a grid, and the clock they are timed by.


cdef class Clock:
    """A counter of 32-bit microseconds that wraps, made into microseconds that do not: a step back counts as a restart of the
    sender, at which time stands still."""

    cdef aether_clock clock

    def read(self, microseconds):
        """Microseconds since the first reading. InvalidArgumentError."""
        index = as_index(microseconds)
        if index is None or not 0 <= index <= 0xFFFFFFFF:
            raise InvalidArgumentError.of("microseconds", "an unsigned 32-bit integer", repr(microseconds))
        return aether_clock_read(&self.clock, index)

    @property
    def restarts(self):
        """Steps back so far."""
        return self.clock.restarts


cdef class Resampler:
    """Frames that come in bursts, put on a steady grid by linear interpolation (docs/spec/features.md), the same bits as on a
    chip.

    dim: features a frame. period_us: of the grid; max_gap_us: the longest gap that is bridged (period_us to 256 periods, at
    most 16777216), so that one frame makes at most 257 of the grid.
    agc "mean": each frame is divided by its mean first. InvalidConfigError.
    """

    cdef aether_resampler resampler
    cdef Memory memory
    cdef bint busy

    def __init__(self, dim, period_us, max_gap_us, agc="none"):
        cdef size_t need
        cdef uint32_t numbers[3]
        if self.memory is not None:
            raise InvalidArgumentError.of("resampler", "one initialisation", "a second one")
        expect_choice(agc, ("none", "mean"), "agc")
        limits = (("dim", dim, 1, 0xFFFF), ("period_us", period_us, 1, 1 << 24), ("max_gap_us", max_gap_us, 1, 1 << 24))
        for place, (field, value, low, high) in enumerate(limits):
            index = as_index(value)
            if index is None or not low <= index <= high:
                raise InvalidConfigError.of(field, f"an integer from {low} to {high}", repr(value))
            numbers[place] = index
        if not numbers[1] <= numbers[2] <= <uint64_t> numbers[1] * AETHER_RESAMPLE_MAX_DUE:
            expected = f"period_us to {AETHER_RESAMPLE_MAX_DUE} periods, {period_us} to {period_us * AETHER_RESAMPLE_MAX_DUE}"
            raise InvalidConfigError.of("max_gap_us", expected, max_gap_us)
        _check(aether_resample_size(numbers[0], &need), "dim")
        memory = Memory(need)
        _check(aether_resample_init(&self.resampler, numbers[0], numbers[1], numbers[2], agc == "mean",
                                    (<Memory> memory).data, need), "dim")
        self.memory = memory

    cdef int _idle(self) except -1:
        if self.busy:
            raise _busy("resampler")
        if self.memory is None:
            raise InvalidArgumentError.of("resampler", "an initialised resampler", "one whose __init__ failed")
        return 0

    def __repr__(self):
        if self.memory is None:
            return "<Resampler: not initialised>"
        agc = "; agc mean" if self.resampler.agc else ""
        return f"<Resampler: dim {self.resampler.dim}; period {self.resampler.period} µs; gaps up to {self.resampler.max_gap} µs{agc}>"

    @property
    def dim(self):
        """Features a frame."""
        return self.resampler.dim

    def push(self, frame, time_us):
        """Take one frame, (dim,) real numbers, that came at `time_us` (an integer of microseconds, 0 to 2^63-1).

        Returns (restarted, frames, first): the grid frames that are now due, float32 (n, dim), the first of them at
        `first` microseconds and each period_us after the one before; restarted: a new grid began because of a gap, or because time
        went back, so that a stream they are fed to is to be reset first. ShapeError, NonFiniteError, CacheBusyError,
        InvalidArgumentError, ResultOverflowError (agc): the resampler is then as it was. ResultOverflowError also when
        two frames differ by more than binary32 holds: the frame counts, what was due is lost.
        """
        cdef Py_buffer view
        cdef Py_buffer target
        cdef aether_status status
        cdef int restarted = 0
        cdef uint32_t i, due
        cdef uint64_t first
        cdef uint64_t now
        cdef size_t dim
        self._idle()
        dim = self.resampler.dim
        index = as_index(time_us)
        if index is None or not 0 <= index < 1 << 63:
            raise InvalidArgumentError.of("time_us", "an integer from 0 to 2^63-1", repr(time_us))
        now = index
        _take(frame, "frame", &view)
        if view.ndim != 1 or <size_t> view.shape[0] != dim:
            found = _shape(&view)
            PyBuffer_Release(&view)
            raise ShapeError.of("frame", f"shape ({dim},)", found)
        try:
            self._idle()
            self.busy = True
            status = aether_resample_push(&self.resampler, <const float *> view.buf, now, &restarted)
        finally:
            self.busy = False
            PyBuffer_Release(&view)
        _check(status, "frame")
        due = aether_resample_due(&self.resampler)
        first = aether_resample_time(&self.resampler)
        out = _empty((due, dim), &target)
        for i in range(due):
            if aether_resample_take(&self.resampler, <float *> target.buf + i * dim) != AETHER_OK:
                status = AETHER_E_OVERFLOW
        PyBuffer_Release(&target)
        _check(status, "frame")
        return bool(restarted), out, first

    def reset(self):
        """Forget all frames: the next one begins a grid. CacheBusyError."""
        self._idle()
        aether_resample_reset(&self.resampler)


# Layouts of CSI frames, and the pairs of wanted subcarriers.


def layout_of(facts, n_pairs):
    """The runs (band, first, step, count) of a frame of `n_pairs` pairs; `facts` are the fields of aether_csi_facts. () when
    no frame with these facts has so many pairs, None when the facts leave more than one layout."""
    cdef aether_csi_facts given
    cdef aether_layout layout
    given.family, given.twelve_bits, given.format, given.forty, given.stbc, given.secondary = facts
    status = aether_layout_of(&given, n_pairs, &layout)
    if status == AETHER_E_SHAPE:
        return ()
    if status == AETHER_E_CONFIG:
        return None
    _check(status, "facts")
    return tuple((layout.runs[i].band, layout.runs[i].first, layout.runs[i].step, layout.runs[i].count)
                 for i in range(layout.n_runs))


def find_pairs(runs, bands, numbers):
    """Where subcarriers are among the pairs of a frame: indices, uint16 [n], or the place of the first one that the frame
    lacks, an int. `bands`: uint8 [n]; `numbers`: int16 [n]."""
    cdef aether_wanted wanted
    cdef size_t missing = 0
    cdef Py_buffer view
    cdef Bytes held_bands = Bytes(bands, "bands")
    cdef Bytes held_numbers = Bytes(numbers, "numbers")
    cdef aether_run *own = <aether_run *> calloc(len(runs) + 1, sizeof(aether_run))
    if own == NULL:
        raise MemoryError
    wanted.bands = <const uint8_t *> held_bands.view.buf
    wanted.numbers = <const int16_t *> held_numbers.view.buf
    wanted.n = <size_t> held_bands.view.len
    try:
        for i, (band, first, step, count) in enumerate(runs):
            own[i].band, own[i].first, own[i].step, own[i].count = band, first, step, count
        index = _empty_of(((wanted.n,), numpy_uint16), &view)
        status = aether_subcarriers_find(own, len(runs), &wanted, <uint16_t *> view.buf, &missing)
        PyBuffer_Release(&view)
    finally:
        free(own)
    if status == AETHER_E_SHAPE:
        return missing
    _check(status, "subcarriers")
    return index
