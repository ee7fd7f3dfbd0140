/* The arrays of a model by name and place, in the order they stand in the blob. */
#include "model_layout.h"

static const char *const NAMES[AETHER_ARRAY_COUNT] = {
#define AETHER_X(ARRAY, SECTION, name, scope, type, rows, columns) name,
    AETHER_ARRAYS(AETHER_X)
#undef AETHER_X
};

static void describe(const aether_model *m, size_t id, uint32_t layer, aether_array *array) {
    const aether_array_row *row = &aether_array_rows[id];
    const unsigned char *base = aether_matrix(m, (int)id, row->each_layer ? layer : 0);
    array->name = NAMES[id];
    array->layer = row->each_layer ? layer : UINT32_MAX;
    array->dtype = row->matrix ? m->dtype : AETHER_BINARY32;
    array->offset = (size_t)(base - m->blob);
    array->dims[0] = aether_array_size(m, row->rows);
    array->dims[1] = aether_array_size(m, row->columns);
}

aether_status aether_model_array(const aether_model *model, size_t index, aether_array *array) {
    size_t first, n;
    if (model == NULL || array == NULL) {
        return AETHER_E_ARGUMENT;
    }
    for (first = 0; first < AETHER_ARRAY_COUNT; first += n) {
        size_t there;
        n = aether_array_run(first);
        there = model->arrays[first] == NULL ? 0 : aether_array_rows[first].each_layer ? n * model->header.n_layers : n;
        if (index < there) {
            describe(model, first + index % n, (uint32_t)(index / n), array);
            return AETHER_OK;
        }
        index -= there;
    }
    return AETHER_E_ARGUMENT;
}
