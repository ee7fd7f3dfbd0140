# Blob header, reader, writer.

HEADER_BYTES = AETHER_RVNE_HEADER_BYTES
OVERHEAD = AETHER_RVNE_OVERHEAD


cdef int _header(aether_rvne_header *header, tuple values) except -1:
    (header.flags, header.input_dim, header.n_q_heads, header.n_kv_heads, header.head_dim, header.n_layers,
     header.n_classes, header.weights_len) = values
    return 0


def check_header(*values):
    """Header values (flags, input_dim, n_q_heads, n_kv_heads, head_dim, n_layers, n_classes, weights_len) in range?
    BlobFlagsError, BlobHeaderError."""
    cdef aether_rvne_header header
    cdef aether_detail detail
    detail.field = NULL
    _header(&header, values)
    _check_detail(aether_rvne_check(&header, &detail), &detail)


cdef int _check_blob(aether_status status, const aether_detail *detail, const void *data, size_t size) except -1:
    """As _check_detail; of a CRC that does not match, the correct one is named too."""
    if status == AETHER_E_BLOB_CRC:
        correct = aether_crc32(0, data, size - 4)
        raise BlobCrcError.of("crc32", f"0x{correct:08X}, the CRC of the bytes before", detail.found, detail.offset)
    return _check_detail(status, detail)


def parse_blob(data):
    """Header values of a blob whose length, magic, version, CRC and header are valid; the weights are not looked at."""
    cdef aether_rvne_header header
    cdef aether_detail detail
    cdef aether_status status
    cdef Bytes held = Bytes(data, "blob")
    detail.field = NULL
    with nogil:
        status = aether_rvne_parse(held.view.buf, <size_t> held.view.len, &header, &detail)
    _check_blob(status, &detail, held.view.buf, <size_t> held.view.len)
    return (header.flags, header.input_dim, header.n_q_heads, header.n_kv_heads, header.head_dim, header.n_layers,
            header.n_classes, header.weights_len)


def write_blob(*values, weights):
    """The bytes of a blob with these header values (as check_header) and weights."""
    cdef aether_rvne_header header
    cdef aether_detail detail
    cdef aether_status status
    cdef bytes out
    cdef char *target
    cdef Bytes held = Bytes(weights, "weights")
    cdef size_t size
    detail.field = NULL
    _header(&header, values)
    if header.weights_len != <size_t> held.view.len:
        raise BlobLengthError.of("weights_len", f"{held.view.len} bytes, what there is", header.weights_len)
    size = <size_t> aether_rvne_size(&header)
    out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> size)
    target = PyBytes_AsString(out)
    with nogil:
        status = aether_rvne_write(&header, held.view.buf, target, size, &detail)
    _check_detail(status, &detail)
    return out
