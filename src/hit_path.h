/*-------------------------------------------------------------------------
 *
 * hit_path.h
 *		What helps the processor on the way of a hit.
 *
 * Between two hits of a session others have run, and little of what a hit needs
 * is still in the processor's caches.  So its time is spent on waiting for
 * memory: for code, for the translation of addresses, for what others have
 * written.  These help; all of them are nothing where the compiler knows of no
 * such thing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_HIT_PATH_H
#define DASHCACHE_HIT_PATH_H

#include "postgres.h"

/* Marks what every hit runs through: the linker puts it all on the same few pages. */
#if defined(__GNUC__) && defined(__ELF__)
#define DC_HIT_PATH __attribute__((section(".text.hot.dashcache")))
#else
#define DC_HIT_PATH
#endif

/* Memory will be needed soon.  These never fault, whatever the address. */
#ifdef __GNUC__
#define dc_prefetch(address)		__builtin_prefetch((address), 0)
#define dc_prefetch_write(address)	__builtin_prefetch((address), 1)
#else
#define dc_prefetch(address)		((void) (address))
#define dc_prefetch_write(address)	((void) (address))
#endif

#endif							/* DASHCACHE_HIT_PATH_H */
