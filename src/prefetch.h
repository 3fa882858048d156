/*-------------------------------------------------------------------------
 *
 * prefetch.h
 *		Hints to the processor that memory will be needed soon.
 *
 * They never fault, whatever the address, and are nothing where the compiler
 * knows of no such hint.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_PREFETCH_H
#define DASHCACHE_PREFETCH_H

#include "postgres.h"

#if defined(__GNUC__) || defined(__clang__)
#define dc_prefetch(address)		__builtin_prefetch((address), 0)
#define dc_prefetch_write(address)	__builtin_prefetch((address), 1)
#else
#define dc_prefetch(address)		((void) (address))
#define dc_prefetch_write(address)	((void) (address))
#endif

#endif							/* DASHCACHE_PREFETCH_H */
