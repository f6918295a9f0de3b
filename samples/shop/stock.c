/* stock: how many there are of each product, in C. Listens on PORT (9000). */
#include "shop.h"

static int answer(const char *path, char *text, size_t size)
{
    snprintf(text, size, "{\"count\": %d}", 40 + 7 * shop_number(path) % 23);
    return 200;
}

int main(void)
{
    return shop_serve(answer);
}
