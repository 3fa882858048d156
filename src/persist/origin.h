/*-------------------------------------------------------------------------
 *
 * origin.h
 *		Whose entries, and of which moment?
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_ORIGIN_H
#define DASHCACHE_ORIGIN_H

#include "postgres.h"

#include "persist/saved_file.h"

extern bool dc_origin_now(DcSavedOrigin *origin, uint64 *next_xid);
extern const char *dc_origin_differs(const DcSavedOrigin *saved, const DcSavedOrigin *now);
extern const char *dc_origin_recovery_requested(void);

#endif							/* DASHCACHE_ORIGIN_H */
