/*
 * The saved configuration: the bytes as they are, and again as the payload of a file whose length and checksum are right, whose
 * resources then go through the intake.
 */
#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "proxy/snapshot/intake.h"
#include "proxy/snapshot/publisher.h"
#include "proxy/snapshot/snapshot_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_u64(struct buffer *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        buffer_append_byte(to, (char)(value >> (8 * i)));
}

static void take_in(const struct snapshot_file *file)
{
    static const struct build_options options = {.now_s = 1767225600};
    struct publisher *publisher = publisher_create(NULL);
    struct intake *intake = intake_create(publisher, &options, NULL);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < file->count; i++) {
            owned_error error = {0};
            if (!intake_put(intake, &file->updates[i], &error) && !error.what)
                abort();
        }
        intake_commit(intake);
        for (size_t i = 0; i < file->count && round; i += 2)
            intake_remove(intake, file->updates[i].kind, file->updates[i].name);
        intake_commit(intake);
    }
    intake_destroy(intake);
    publisher_destroy(publisher);
}

static void parse(struct slice bytes)
{
    struct snapshot_file file;
    owned_error error = {0};
    if (!snapshot_file_parse(bytes, &file, &error)) {
        if (!error.what)
            abort();
        return;
    }
    take_in(&file);
    snapshot_file_fini(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(slice_of(data, size));
    owned_buffer whole = {0};
    struct hash128 hash = hash128(slice_of(data, size));
    buffer_append(&whole, "TULLESN\1", 8);
    put_u64(&whole, size);
    put_u64(&whole, hash.low);
    put_u64(&whole, hash.high);
    buffer_append(&whole, data, size);
    parse(buffer_slice(&whole));
    return 0;
}
