/* sandbox_internal: what the signing child gives up before it reads a stranger's byte. */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

enum { SANDBOX_SOCKET = 3 };
/* Keeps `fd` (as descriptor SANDBOX_SOCKET) and standard error, closes everything else; no core dump, no tracing. */
void sandbox_leave_descriptors(int fd);
/* From here on the process computes, and reads and writes what it holds; no file, socket or program can be opened. Tries
   that out before it returns true. */
MUST_USE bool sandbox_enter(struct error *error);
