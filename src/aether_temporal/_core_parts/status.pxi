# Status codes to exceptions, one to one.

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
