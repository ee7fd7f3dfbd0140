/* The application on bare metal: the project's own start code, the vectors linked in. */
#ifndef AETHER_APP_BARE_H
#define AETHER_APP_BARE_H

#include "parity.h"

/* Its memory is static: one at a time. */
const parity_io *bare_io(void);

#endif
