/*-------------------------------------------------------------------------
 *
 * change.h
 *		Computing again what is in use.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_CHANGE_H
#define DASHCACHE_CHANGE_H

#include "postgres.h"

#include "datatype/timestamp.h"

extern void dc_change_refresh_queued(void);
extern TimestampTz dc_change_refresh_changed(int64 *look_us);

#endif							/* DASHCACHE_CHANGE_H */
