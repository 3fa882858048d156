/*-------------------------------------------------------------------------
 *
 * keys.h
 *		The sources of a query, and their tenant keys.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_KEYS_H
#define DASHCACHE_KEYS_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "widget/analyze.h"

extern Oid	dc_hash_family_of(Oid operator);
extern void dc_keys_find(Query *query, DcAnalysis *analysis);

#endif							/* DASHCACHE_KEYS_H */
