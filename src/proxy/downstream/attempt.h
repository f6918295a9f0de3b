/*
 * attempt: one try of an exchange's request: its host is picked, a connection lent or dialled, the head sent. What comes back
 * is forward.h's.
 */
#pragma once

#include "base/attributes.h"

#include <stdbool.h>

struct exchange;

/* The first try, or another one; the exchange is answered when there is no host, or a limit refuses. */
void attempt_start(struct exchange *exchange, bool on_fresh_connection);
/* Lets go of the try under way, if there is one: its stream is cancelled, its connection goes back. */
void attempt_abort(struct exchange *exchange);
