/*-------------------------------------------------------------------------
 *
 * checks.h
 *		What a cached answer cannot stand for, and what it depends on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_CHECKS_H
#define DASHCACHE_CHECKS_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "widget/analyze.h"

extern int	dc_query_position(int location);
extern bool dc_depends_on_session(Oid function);
extern void dc_check_query(Query *query, DcAnalysis *analysis);

#endif							/* DASHCACHE_CHECKS_H */
