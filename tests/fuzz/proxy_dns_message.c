/* Questions of DNS, and answers to those that can be answered: each is a message that repeats the question within its limit. */
#include "proxy/dns/message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ADDRESSES = 40, HEADER_BYTES = 12 };

static void check_name(const struct dns_question *question)
{
    if (question->name_size > DNS_NAME_MAX || question->name[question->name_size] != '\0')
        abort();
    for (size_t i = 0; i < question->name_size; i++)
        if (question->name[i] >= 'A' && question->name[i] <= 'Z')
            abort();
}

static void answer(const struct dns_question *question, struct slice asked, enum dns_code code,
                   size_t count, size_t most)
{
    static uint8_t out[DNS_MESSAGE_MAX];
    struct dns_address addresses[ADDRESSES];
    for (size_t i = 0; i < count; i++)
        addresses[i] =
            (struct dns_address){.bytes = {10, 0, 0, (uint8_t)i}, .size = i % 3 ? 4 : 16};
    size_t size = dns_answer_write(question, asked, code, addresses, count, 30, most, out);
    if (size < question->end || (size > most && size > question->end) || !(out[2] & 0x80) ||
        (out[3] & 15) != (int)code || memcmp(out, asked.data, 2) != 0 ||
        memcmp(out + HEADER_BYTES, asked.data + HEADER_BYTES, question->end - HEADER_BYTES) != 0)
        abort();
    size_t written = (size_t)out[6] << 8 | out[7];
    if (written > count || (written < count) != !!(out[2] & 2))
        abort();
    /* What we wrote is an answer, so it is no question. */
    struct dns_question again;
    enum dns_code none;
    if (dns_question_read(slice_of(out, size), &again, &none))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_question question;
    enum dns_code code;
    struct slice message = slice_of(data, size);
    if (!dns_question_read(message, &question, &code))
        return 0;
    check_name(&question);
    if (question.end < HEADER_BYTES || question.end > size || question.udp_max < DNS_UDP_MAX)
        abort();
    for (size_t count = 0; count <= ADDRESSES; count += 8) {
        answer(&question, message, code, code ? 0 : count, question.udp_max);
        answer(&question, message, code, code ? 0 : count, DNS_MESSAGE_MAX);
    }
    return 0;
}
