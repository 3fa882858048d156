/*-------------------------------------------------------------------------
 *
 * mix.h
 *		Mixing the bits of an integer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_MIX_H
#define DASHCACHE_MIX_H

#include "postgres.h"

/*
 * The finalizer of MurmurHash3 for 64 bits (Austin Appleby, public domain): a
 * bijection, every bit of which depends on every bit of the input.
 */
static inline uint64
dc_mix64(uint64 data)
{
	uint64		hash = data;

	hash ^= hash >> 33;
	hash *= UINT64CONST(0xff51afd7ed558ccd);
	hash ^= hash >> 33;
	hash *= UINT64CONST(0xc4ceb9fe1a85ec53);
	hash ^= hash >> 33;
	return hash;
}

#endif							/* DASHCACHE_MIX_H */
