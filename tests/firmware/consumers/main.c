int consume(void);

#ifdef CONSUMER_BARE
#include "platform.h"

int firmware_main(void) {
    return consume();
}
#else
int main(void) {
    return consume();
}
#endif
