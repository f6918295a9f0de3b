/* pem_internal: walks the blocks of a PEM text (RFC 7468), strictly; a text that is no PEM may be DER. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

enum { PEM_LABEL_MAX = 40 };

struct pem_block {
    char label[PEM_LABEL_MAX + 1]; /* "CERTIFICATE" */
    struct buffer der;
};
/* Wipes. */
void pem_block_fini(struct pem_block *block);

enum pem_next { PEM_BLOCK, PEM_END, PEM_BAD };
/* The next block from *cursor on, at most `limit` bytes of DER. Text between blocks is skipped. */
enum pem_next pem_next(struct slice text, size_t *cursor, size_t limit, struct pem_block *block,
                       struct error *error);
bool pem_looks_like_der(struct slice text);
void pem_write(const char *label, struct slice der, struct buffer *pem);
