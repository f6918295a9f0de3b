/*
 * program: what this process may have, and the pages of its own file and of its libraries.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* As many files as the hard limit allows (RLIMIT_NOFILE), now; returns how many, 0 when the system does not say. */
uint32_t program_raise_open_files(void);

/*
 * Lets go of every page that equals its file: they stay in the system's page cache, and those that are used again come
 * back by a minor fault. For the moment when much code has run that will not run again soon, as a start's. Pages that
 * were written to (relocations, breakpoints) stay. Returns the bytes of the mappings; 0 where /proc is missing.
 */
size_t program_forget_pages(void);
