/*
 * product: names and prices, in C. Asks stock how many there are.
 *
 *   PORT     where it listens (9000)
 *   VERSION  what it says it is (v1); v2 has a discount
 *   STOCK    host:port of stock (stock:9000)
 */
#include "shop.h"

static const char *const names[] = {"Thread",  "Needle", "Bobbin", "Ribbon", "Tulle",
                                    "Thimble", "Button", "Velvet", "Lace"};
static const char *version;
static char stock_host[128] = "stock";
static char stock_port[8] = "9000";

/* The number in {"count": N}, or -1 when stock did not answer. */
static int ask_stock(int number)
{
    static _Thread_local int connection = -1;
    char text[512];
    for (int attempt = 0; attempt < 2; attempt++) {
        bool fresh = connection < 0;
        if (fresh && (connection = shop_connect(stock_host, stock_port)) < 0)
            return -1;
        if (shop_get(connection, stock_host, number, text, sizeof(text))) {
            const char *count = strstr(text, "\"count\":");
            return count ? atoi(count + strlen("\"count\":")) : -1;
        }
        close(connection);
        connection = -1;
        if (fresh)
            return -1;
    }
    return -1;
}

static int answer(const char *path, char *text, size_t size)
{
    int number = shop_number(path);
    int cents = 100 + 75 * number;
    if (strcmp(version, "v1") != 0)
        cents = cents * 9 / 10;
    int count = ask_stock(number);
    if (count < 0) {
        snprintf(text, size, "{\"error\": \"stock does not answer\"}");
        return 502;
    }
    snprintf(text, size,
             "{\"name\": \"%s\", \"price\": %d.%02d, \"stock\": %d, \"version\": \"%s\"}",
             names[(size_t)number % (sizeof(names) / sizeof(names[0]))], cents / 100, cents % 100,
             count, version);
    return 200;
}

int main(void)
{
    version = getenv("VERSION") ? getenv("VERSION") : "v1";
    shop_split(getenv("STOCK"), stock_host, sizeof(stock_host), stock_port, sizeof(stock_port));
    return shop_serve(answer);
}
