/*
 * allocator_internal: libcrypto's memory from lists of the thread that asks.
 *
 * A handshake makes and frees some two thousand small objects. Kept by size on the thread that freed them, they cost a
 * few instructions each; a thread keeps 128 KB at most. Memory may be freed on another thread than it was made on.
 * Objects of up to 1 KB lie in blocks of a page, so that what a burst leaves behind are free pages, and few.
 */
#pragma once

/* Before libcrypto's first allocation in the process; later calls do nothing. */
void tls_allocator_install(void);
/* What this thread keeps goes back to its blocks, and empty blocks to the heap: after a burst it lies scattered. */
void tls_allocator_trim(void);
