/* Addresses and prefixes as people write them: what is read and written again is the same. */
#include "io/address.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(struct slice text)
{
    struct address address, again;
    char written[ADDRESS_TEXT];
    if (!address_parse(text, &address))
        return;
    size_t length = address_format(&address, written);
    if (length >= ADDRESS_TEXT || length != strlen(written))
        abort();
    if (memchr(text.data, '%', text.size)) /* a scope is not written */
        return;
    if (!address_parse(slice_of(written, length), &again) || !address_equals(&address, &again) ||
        address_hash(&address) != address_hash(&again))
        abort();
}

static void check_cidr(struct slice text)
{
    struct cidr cidr, again;
    char written[ADDRESS_TEXT];
    struct address address;
    if (!cidr_parse(text, &cidr))
        return;
    if (cidr.bits > (cidr.is_v4 ? 32 : 128))
        abort();
    size_t length = cidr_format(&cidr, written);
    if (!cidr_parse(slice_of(written, length), &again) || again.bits != cidr.bits ||
        memcmp(cidr.ip, again.ip, cidr.is_v4 ? 4 : 16) != 0)
        abort();
    /* A prefix contains its own first address. */
    address = cidr.is_v4 ? address_v4((uint32_t)cidr.ip[0] << 24 | (uint32_t)cidr.ip[1] << 16 |
                                          (uint32_t)cidr.ip[2] << 8 | cidr.ip[3],
                                      1)
                         : address_v6(cidr.ip, 1);
    if (!cidr_contains(&cidr, &address) && cidr.is_v4 == address_is_v4(&address))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    check_address(text);
    check_cidr(text);
    return 0;
}
