/* What runs before and after app_main, on this computer and on an emulated chip. */
void app_main(void);

#ifdef CONSUMER_BARE
#include "platform.h"

int firmware_main(void) {
    app_main();
    return 0;
}
#else
int main(void) {
    app_main();
    return 0;
}
#endif
