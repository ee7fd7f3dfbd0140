# What every part needs: statuses to exceptions, one to one; memory the core works in; arrays and bytes in and out, and the
# CRC-32 of bytes.

cdef list _ERRORS = [
    None if code == 0 else _BY_STATUS_NAME[aether_status_name(<aether_status> code).decode()]
    for code in range(AETHER_STATUS_COUNT)
]


def status_table():
    """(name, text, exception class) of every status code, in order; the class of code 0 is None."""
    return [
        (aether_status_name(<aether_status> code).decode(), aether_status_text(<aether_status> code).decode(), _ERRORS[code])
        for code in range(AETHER_STATUS_COUNT)
    ]


def raise_for_status(int code, str field=None):
    """Raises the exception of a status code; returns for 0."""
    if not 0 <= code < AETHER_STATUS_COUNT:
        raise ValueError(f"code: expected 0 to {AETHER_STATUS_COUNT - 1}, found {code}")
    _check(<aether_status> code, field)


cdef int _check(aether_status status, str field) except -1:
    """For functions that give no detail."""
    if status == AETHER_OK:
        return 0
    text = aether_status_text(status).decode()
    raise _ERRORS[status](text if field is None else f"{field}: {text}", field=field)


cdef int _check_detail(aether_status status, const aether_detail *detail) except -1:
    if status == AETHER_OK:
        return 0
    if detail.field == NULL:
        return _check(status, None)
    raise _ERRORS[status].of(
        detail.field.decode(),
        detail.expected.decode() if detail.expected != NULL else aether_status_text(status).decode(),
        detail.found,
        None if detail.offset == SIZE_MAX else detail.offset,
    )


cdef str _name(aether_status status):
    return aether_status_name(status).decode()


cdef int _sized(aether_status status, object config, str field, object value) except -1:
    """For functions that say how much memory is needed."""
    if status != AETHER_OK:
        raise_size_error(_name(status), config, field, value)
        _check(status, field)
    return 0


# Memory the core works in. Cache lines keep vector loads whole; results do not depend on it.

cdef size_t _ALIGN = 64


cdef object _no_memory(size_t size):
    return OutOfMemoryError.of("memory", f"{size} bytes from the operating system", "fewer")


cdef class Memory:
    """Zeroed bytes, aligned, freed with the object."""

    cdef void *base
    cdef unsigned char *data
    cdef size_t size

    def __cinit__(self, size_t size):
        if size > SIZE_MAX // 2 - _ALIGN:
            raise _no_memory(size)
        self.base = calloc(1, size + _ALIGN)
        if self.base == NULL:
            raise _no_memory(size)
        self.data = <unsigned char *> ((<size_t> self.base + _ALIGN - 1) & ~(_ALIGN - 1))
        self.size = size

    def __dealloc__(self):
        free(self.base)


cdef struct Scratch:
    void *base
    unsigned char *data
    size_t size


cdef int _borrow(Scratch *scratch, size_t size) except -1:
    """Bytes for the length of one call; `free(scratch.base)` gives them back."""
    scratch.base = malloc(size + _ALIGN) if size <= SIZE_MAX // 2 - _ALIGN else NULL
    if scratch.base == NULL:
        raise _no_memory(size)
    scratch.data = <unsigned char *> ((<size_t> scratch.base + _ALIGN - 1) & ~(_ALIGN - 1))
    scratch.size = size
    return 0


# Arrays in and out. A C-contiguous, aligned float32 buffer is used where it lies; anything else goes through `as_float32`.

cdef extern from "Python.h":
    int PyObject_CheckBuffer(object value)
    int _get_buffer "PyObject_GetBuffer" (object value, Py_buffer *view, int flags)
    int _need_buffer "PyObject_GetBuffer" (object value, Py_buffer *view, int flags) except -1
    void PyBuffer_Release(Py_buffer *view)
    void PyErr_Clear()
    object PyObject_Call(object function, object arguments, PyObject *keywords)


cdef bint _is_float32(const Py_buffer *view) noexcept:
    cdef const char *form = view.format
    if view.itemsize != 4 or form == NULL or (<size_t> view.buf) & 3:
        return False
    if form[0] == c'<' or form[0] == c'=' or form[0] == c'@':
        form += 1
    return form[0] == c'f' and form[1] == 0


cdef int _take(object value, str field, Py_buffer *view) except -1:
    """A C-contiguous float32 view of `value`, or of its converted copy; PyBuffer_Release it."""
    if PyObject_CheckBuffer(value):
        if _get_buffer(value, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) == 0:
            if _is_float32(view):
                return 0
            PyBuffer_Release(view)
        else:
            PyErr_Clear()
    cdef aether_fpenv env = aether_fpenv_enter()  # conversions round as the contract says, whatever the caller has set
    try:
        value = as_float32(value, field)
    finally:
        aether_fpenv_leave(env)
    _need_buffer(value, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    if not _is_float32(view):
        PyBuffer_Release(view)
        raise InputTypeError.of(field, "real numbers", type(value).__name__)
    return 0


cdef tuple _shape(const Py_buffer *view):
    return tuple([view.shape[i] for i in range(view.ndim)])


cdef object _numpy_empty = numpy_empty
cdef object _numpy_float32 = numpy_float32


cdef object _empty(tuple shape, Py_buffer *view):
    """A new float32 array and a writable view of it."""
    return _empty_of((shape, _numpy_float32), view)


cdef object _empty_of(tuple arguments, Py_buffer *view):
    """The same, for numpy.empty's arguments made once."""
    array = PyObject_Call(_numpy_empty, arguments, NULL)
    _need_buffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    return array


cdef class Bytes:
    """A contiguous byte view of any object with the buffer protocol, without a copy where it is contiguous."""

    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, value, str field):
        self.held = False
        if not PyObject_CheckBuffer(value) or _get_buffer(value, &self.view, PyBUF_SIMPLE) != 0:
            PyErr_Clear()
            _need_buffer(as_bytes(value, field), &self.view, PyBUF_SIMPLE)
        self.held = True

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


def crc32(data, value=0):
    """CRC-32/ISO-HDLC of any object with the buffer protocol; to continue, pass the previous result as `value`.
    InputTypeError, InvalidArgumentError."""
    index = as_index(value)
    if index is None:
        raise InputTypeError.of("value", "an unsigned 32-bit integer", repr(value))
    if not 0 <= index <= 0xFFFFFFFF:
        raise InvalidArgumentError.of("value", "an unsigned 32-bit integer", value)
    cdef uint32_t crc = index
    cdef Bytes held = Bytes(data, "data")
    with nogil:
        crc = aether_crc32(crc, held.view.buf, <size_t> held.view.len)
    return crc
