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
