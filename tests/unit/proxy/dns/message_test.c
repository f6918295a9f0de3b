#include "test.h"

#include "base/buffer.h"
#include "proxy/dns/message.h"

static const char header[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
static const char cart[] = "\x04"
                           "Cart\x04shop\x00\x00\x01\x00\x01";

static struct slice message(struct buffer *to, const char *head, struct slice rest)
{
    buffer_append(to, head, 12);
    buffer_append(to, rest.data, rest.size);
    return buffer_slice(to);
}

TEST(a_question_is_read_in_lower_case)
{
    owned_buffer bytes = {0};
    struct dns_question question;
    enum dns_code code;
    struct slice asked = message(&bytes, header, slice_of(cart, sizeof(cart) - 1));
    CHECK(dns_question_read(asked, &question, &code) && code == DNS_NO_ERROR);
    CHECK(strcmp(question.name, "cart.shop") == 0, "%s", question.name);
    CHECK(question.type == DNS_A && question.class == DNS_IN && question.id == 0x1234);
    CHECK(question.end == asked.size && question.udp_max == DNS_UDP_MAX);
}

TEST(what_is_no_question_gets_no_answer)
{
    owned_buffer bytes = {0};
    struct dns_question question;
    enum dns_code code;
    struct slice asked = message(&bytes, header, slice_of(cart, sizeof(cart) - 1));
    CHECK(!dns_question_read(slice_first(asked, 11), &question, &code));
    bytes.data[2] = (char)0x81; /* an answer, so that two of us never talk to each other */
    CHECK(!dns_question_read(asked, &question, &code));
}

TEST(a_malformed_question_is_told_so)
{
    static const struct {
        const char *name;
        struct slice rest;
    } cases[] = {
        {"no end",
         {"\x04"
          "cart",
          5}},
        {"a label longer than the message",
         {"\x3f"
          "cart",
          5}},
        {"a label of 64",
         {"\x40"
          "cart",
          5}},
        {"a pointer", {"\xc0\x0c\x00\x01\x00\x01", 6}},
        {"no class",
         {"\x04"
          "cart\x00\x00\x01",
          8}},
    };
    EACH (c, cases) {
        owned_buffer bytes = {0};
        struct dns_question question;
        enum dns_code code;
        CHECK(dns_question_read(message(&bytes, header, c->rest), &question, &code), "%s", c->name);
        CHECK(code == DNS_FORMAT_ERROR, "%s", c->name);
    }
}

/* Three labels of 63 and one of 61, with dots between, are the 253 characters that fit. */
TEST(a_name_of_one_byte_more_is_malformed)
{
    for (int longer = 0; longer < 2; longer++) {
        owned_buffer rest = {0}, bytes = {0};
        struct dns_question question;
        enum dns_code code;
        for (int i = 0; i < 3; i++)
            buffer_append(&rest,
                          "\x3f"
                          "aaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg",
                          64);
        buffer_append_byte(&rest, (char)(61 + longer));
        for (int i = 0; i < 61 + longer; i++)
            buffer_append_byte(&rest, 'x');
        buffer_append(&rest, "\x00\x00\x01\x00\x01", 5);
        CHECK(dns_question_read(message(&bytes, header, buffer_slice(&rest)), &question, &code));
        CHECK(code == (longer ? DNS_FORMAT_ERROR : DNS_NO_ERROR), "%d: %d", longer, code);
    }
}

TEST(records_that_do_not_fit_are_left_out_and_told)
{
    owned_buffer bytes = {0};
    struct dns_question question;
    enum dns_code code;
    uint8_t out[DNS_MESSAGE_MAX];
    struct slice asked = message(&bytes, header, slice_of(cart, sizeof(cart) - 1));
    struct dns_address addresses[3] = {{{10, 0, 0, 1}, 4}, {{10, 0, 0, 2}, 4}, {{10, 0, 0, 3}, 4}};
    CHECK(dns_question_read(asked, &question, &code));
    size_t all = dns_answer_write(&question, asked, DNS_NO_ERROR, addresses, 3, 30, 512, out);
    CHECK(all == asked.size + 3 * 16 && out[7] == 3 && !(out[2] & 2));
    size_t two = dns_answer_write(&question, asked, DNS_NO_ERROR, addresses, 3, 30, all - 1, out);
    CHECK(two == all - 16 && out[7] == 2 && out[2] & 2);
}
