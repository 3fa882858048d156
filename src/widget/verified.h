/*-------------------------------------------------------------------------
 *
 * verified.h
 *		Which definitions were looked at here, and which come from elsewhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_VERIFIED_H
#define DASHCACHE_VERIFIED_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern bool dc_verified(uint32 widget, uint64 version);
extern List *dc_unverified(void);
extern void dc_verified_set(uint32 widget, uint64 version);
extern void dc_verified_forget_all(void);

#endif							/* DASHCACHE_VERIFIED_H */
