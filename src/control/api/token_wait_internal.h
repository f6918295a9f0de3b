/*
 * token_wait: a token that was asked for; whoever waits for it may have gone when it comes.
 */
#pragma once

#include "base/list.h"

struct api;

struct token_wait {
    struct list node; /* of the API */
    struct api *api;
    uint64_t exchange; /* its handle */
};
