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
