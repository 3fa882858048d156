/*-------------------------------------------------------------------------
 *
 * fill.h
 *		After a miss: computing, and storing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_FILL_H
#define DASHCACHE_FILL_H

#include "postgres.h"

#include "read/compute.h"
#include "read/lookup.h"

extern void dc_fill_compute(DcLookup *lookup, DcComputed *computed);
extern bool dc_fill_is_certain(const DcLookup *lookup);
extern const char *dc_fill_store(DcLookup *lookup, const char *payload,
								 Size payload_len, const DcComputed *computed);
extern uint64 dc_fill_flight_key(const DcKey *key);
extern bool dc_fill_for_all(DcLookup *lookup);
extern void dc_fill_or_wait(DcLookup *lookup);

#endif							/* DASHCACHE_FILL_H */
