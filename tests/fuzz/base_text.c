/* Text from outside: UTF-8, numbers, times and JSON escapes, each compared with a slower way to the same answer. */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/slice.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool claim)
{
    if (!claim)
        abort();
}

/* Decodes one character into its code point by arithmetic, and asks afterwards whether the form was the shortest. */
static size_t decode(struct slice in, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = (uint8_t)in.data[0];
    size_t length = lead < 0x80       ? 1
                    : lead >> 5 == 6  ? 2
                    : lead >> 4 == 14 ? 3
                    : lead >> 3 == 30 ? 4
                                      : 0;
    if (length == 0 || length > in.size)
        return 0;
    *point = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (((uint8_t)in.data[i] & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | ((uint8_t)in.data[i] & 0x3f);
    }
    bool allowed =
        *point >= least[length] && *point <= 0x10ffff && (*point < 0xd800 || *point > 0xdfff);
    return allowed ? length : 0;
}

static void check_utf8(struct slice in)
{
    bool valid = true;
    for (struct slice rest = in; rest.size > 0;) {
        uint32_t point;
        size_t length = decode(rest, &point);
        require(slice_utf8_length(rest) == length);
        valid = valid && length > 0;
        slice_take(&rest, length ? length : 1);
    }
    require(slice_is_utf8(in) == valid);
}

static void check_numbers(struct slice in, const char *text)
{
    bool digits = in.size > 0 && strspn(text, "0123456789") == in.size;
    uint64_t value = 0;
    errno = 0;
    unsigned long long expected = strtoull(text, NULL, 10);
    bool good = digits && errno == 0;
    require(slice_to_u64(in, UINT64_MAX, &value) == good && (!good || value == expected));
    require(slice_to_u64(in, 65535, &value) == (good && expected <= 65535));

    int64_t number = 0;
    bool negative = in.size > 1 && text[0] == '-' && strspn(text + 1, "0123456789") == in.size - 1;
    errno = 0;
    long long expected_number = strtoll(text, NULL, 10);
    good = (digits || negative) && errno == 0;
    require(slice_to_i64(in, &number) == good && (!good || number == expected_number));
}

static void check_time(const char *text)
{
    int64_t first, again;
    char shown[32];
    if (!clock_parse(text, &first))
        return;
    require(clock_format(first, shown) == 24);
    /* An offset may lead out of the years that can be shown; then the year is the nearest that can. */
    bool can_be_shown = first >= -62167219200000000 && first <= 253402300799999999;
    require(clock_parse(shown, &again) || !can_be_shown);
    require(!can_be_shown || (again <= first && first - again < 1000));
}

/* What is escaped is UTF-8 without control characters, and every quote in it has its backslash. */
static void check_json(struct slice in)
{
    owned_buffer out = {0};
    buffer_append_json(&out, in);
    struct slice text = buffer_slice(&out);
    require(slice_is_utf8(text));
    for (size_t i = 0; i < text.size; i++) {
        require((uint8_t)text.data[i] >= 0x20 && text.data[i] != 0x7f && text.data[i] != '"');
        if (text.data[i] == '\\')
            require(++i < text.size && strchr("\"\\bfnrtu", text.data[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size), head, tail;
    char *text = slice_to_str(in);
    check_utf8(in);
    if (strlen(text) == size)
        check_numbers(in, text);
    check_time(text);
    check_json(in);
    require(slice_cut(in, ':', &head, &tail) == (slice_find(in, SLICE(":")) != SIZE_MAX));
    require(slice_trim(in).size <= size && slice_equals_nocase(in, in));
    mem_free(text);
    return 0;
}
