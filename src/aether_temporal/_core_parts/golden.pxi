# Golden files against the core.


cdef void _report(void *user, const aether_golden_result *result) noexcept with gil:
    (<list> user).append((
        result.name.decode(),
        result.path.decode(),
        bool(result.passed),
        result.compared,
        result.mismatches,
        None if result.first == SIZE_MAX else result.first,
        result.expected,
        result.got,
        aether_status_name(result.expected_status).decode(),
        aether_status_name(result.status).decode(),
    ))


def run_golden(data, kernels=None):
    """Runs a golden file. Returns (cases, checks, failed, words compared) and a tuple for each check: (case, path, passed,
    words compared, mismatches, first mismatching element or None, expected bits, found bits, expected status, status).
    GoldenFileError."""
    cdef const aether_kernels *variant = _kernels(kernels)
    cdef Bytes held = Bytes(data, "golden file")
    cdef Memory file = Memory(<size_t> held.view.len)
    cdef Memory scratch
    cdef aether_golden_totals totals
    cdef aether_status status
    cdef size_t size = <size_t> held.view.len
    cdef size_t need = 0
    cdef list results = []
    cdef void *user = <void *> results
    memcpy(file.data, held.view.buf, size)
    _check(aether_golden_scratch(file.data, size, variant, &need), "golden file")
    scratch = Memory(need)
    with nogil:
        status = aether_golden_run(file.data, size, variant, scratch.data, need, _report, user, &totals)
    _check(status, "golden file")
    return (totals.cases, totals.checks, totals.failed, totals.compared), results
