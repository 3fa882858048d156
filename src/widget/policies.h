/*-------------------------------------------------------------------------
 *
 * policies.h
 *		Row-level security in a widget's query.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_POLICIES_H
#define DASHCACHE_POLICIES_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "widget/analyze.h"

/* A table whose policies apply. */
typedef struct DcPolicies
{
	Oid			relid;
	Oid			role;			/* as which it is read */
} DcPolicies;

extern bool dc_mentions_session(Oid function);
extern void dc_policies_check(Query *query, DcAnalysis *analysis);

#endif							/* DASHCACHE_POLICIES_H */
