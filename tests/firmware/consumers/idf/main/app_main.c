int consume(void);
void app_main(void);

void app_main(void) {
    (void)consume();
}
