/* The arrays of a model by name and place, in the order they stand in the blob. */
#include "model_layout.h"

static const char *const NAMES[AETHER_ARRAY_COUNT] = {
#define AETHER_X(ARRAY, SECTION, name, scope, type, rows, columns) name,
    AETHER_ARRAYS(AETHER_X)
#undef AETHER_X
};

const char *aether_array_name(size_t id) {
    return NAMES[id];
}

static void describe(const aether_model *m, size_t id, uint32_t layer, aether_array *array) {
    const aether_array_row *row = &aether_array_rows[id];
    const unsigned char *base = aether_matrix(m, (int)id, row->each_layer ? layer : 0);
    array->name = NAMES[id];
    array->layer = row->each_layer ? layer : UINT32_MAX;
    array->dtype = row->matrix ? m->dtype : aether_vector_dtype(m);
    array->offset = (size_t)(base - m->blob);
    array->dims[0] = aether_array_size(m, row->rows);
    array->dims[1] = aether_array_size(m, row->columns);
}

/* How many of the n arrays from `first` on there are; *id is the one of them with number `which`, when there are so many. */
static size_t count(const aether_model *m, size_t first, size_t n, size_t which, size_t *id) {
    size_t i, found = 0;
    for (i = first; i < first + n; i++) {
        if (m->arrays[i] != NULL && found++ == which) {
            *id = i;
        }
    }
    return found;
}

aether_status aether_model_array(const aether_model *model, size_t index, aether_array *array) {
    size_t first, n, id = 0;
    if (model == NULL || array == NULL) {
        return AETHER_E_ARGUMENT;
    }
    for (first = 0; first < AETHER_ARRAY_COUNT; first += n) {
        size_t alike, there;
        n = aether_array_run(first);
        alike = count(model, first, n, 0, &id);
        there = aether_array_rows[first].each_layer ? alike * model->header.n_layers : alike;
        if (index < there) {
            (void)count(model, first, n, index % alike, &id);
            describe(model, id, (uint32_t)(index / alike), array);
            return AETHER_OK;
        }
        index -= there;
    }
    return AETHER_E_ARGUMENT;
}
