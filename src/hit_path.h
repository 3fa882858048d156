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

#include "fmgr.h"

/*
 * Mark what every hit runs through, and the variables it reads: the linker puts
 * it all on the same few pages.
 */
#if defined(__GNUC__) && defined(__ELF__)
#define DC_HIT_PATH __attribute__((hot))
#define DC_HIT_DATA __attribute__((section("dashcache_hit")))
#else
#define DC_HIT_PATH
#define DC_HIT_DATA
#endif

/* Memory will be needed soon.  These never fault, whatever the address. */
#ifdef __GNUC__
#define dc_prefetch(address)		__builtin_prefetch((address), 0)
#define dc_prefetch_write(address)	__builtin_prefetch((address), 1)
#else
#define dc_prefetch(address)		((void) (address))
#define dc_prefetch_write(address)	((void) (address))
#endif

/* PG_DETOAST_DATUM_PACKED(), without a call where there is nothing to be done. */
static inline struct varlena *
dc_detoast_packed(Datum value)
{
	struct varlena *varlena = (struct varlena *) DatumGetPointer(value);

	if (unlikely(VARATT_IS_COMPRESSED(varlena) || VARATT_IS_EXTERNAL(varlena)))
		return pg_detoast_datum_packed(varlena);
	return varlena;
}

#endif							/* DASHCACHE_HIT_PATH_H */
