#include "proxy/filter/base64_stream.h"

#include "test.h"

static const struct {
    const char *text, *bytes; /* NULL: refused */
    bool is_amid;
} rows[] = {
    {"", "", false},           {"aGVsbG8=", "hello", false},
    {"aGVsbG8", "hel", true},  {"aGVsbG8=d29ybGQ=", "helloworld", false}, /* two flushes */
    {"aA==aQ==", "hi", false}, {"aGVs bG8=", NULL, false},
    {"=aGVs", NULL, false},    {"a===", NULL, false},
    {"aG=s", NULL, false},     {"aGVsbG8-", NULL, false},
};

TEST(text_reads_the_same_however_it_is_cut)
{
    EACH (row, rows) {
        for (size_t piece = 1; piece <= strlen(row->text) + 1; piece++) {
            struct base64_reader reader = {0};
            struct buffer out = {0};
            struct slice rest = slice_str(row->text);
            bool is_well = true;
            while (is_well && rest.size > 0)
                is_well = base64_read(&reader, slice_take(&rest, MIN(piece, rest.size)), &out);
            CHECK(is_well == (row->bytes != NULL), "%s by %zu", row->text, piece);
            if (is_well) {
                CHECK(buffer_equals(&out, row->bytes), "%s by %zu", row->text, piece);
                CHECK(base64_is_amid(&reader) == row->is_amid, "%s", row->text);
            }
            buffer_fini(&out);
        }
    }
}
