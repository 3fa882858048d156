/*-------------------------------------------------------------------------
 *
 * own.h
 *		What this session has last written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_OWN_H
#define DASHCACHE_OWN_H

#include "postgres.h"

#include "access/xact.h"
#include "consistency/validity.h"

extern void dc_own_wrote(uint32 stamp, uint64 push);
extern void dc_own_committed_prepared(void);
extern bool dc_own_seen(const DcProof *proof, const DcDependencies *dependencies);
extern void dc_own_at_xact(XactEvent event);

#endif							/* DASHCACHE_OWN_H */
