/*-------------------------------------------------------------------------
 *
 * stale.h
 *		Answers that are no longer right, or will soon end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_STALE_H
#define DASHCACHE_STALE_H

#include "postgres.h"

#include "consistency/validity.h"
#include "read/compute.h"
#include "store/store.h"
#include "widget/metacache.h"

extern bool dc_stale_usable(const DcWidget *widget, const DcSnapshot *snapshot,
							DcSharedEntry *entry, DcVerdict verdict,
							TimestampTz now);
extern TimestampTz dc_stale_fresh_at(const DcProof *proof,
									 const DcDependencies *dependencies,
									 const DcComputed *computed);
extern TimestampTz dc_stale_refresh_at(const DcSharedEntry *entry);

extern bool dc_stale_ask_for_refresh(DcSharedEntry *entry);
extern void dc_stale_wake_refreshers(const DcDashboard *dashboard,
									 const DcWidget *widget);
extern int64 dc_stale_delay(const DcSharedEntry *entry, TimestampTz now,
							bool soon);
extern TimestampTz dc_stale_put_off_until(const DcSharedEntry *entry);
extern TimestampTz dc_stale_put_off_refresh(uint32 widget, uint64 version,
											uint32 hash, bool soon);

#endif							/* DASHCACHE_STALE_H */
