/*-------------------------------------------------------------------------
 *
 * triggers.h
 *		The triggers on the sources.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_TRIGGERS_H
#define DASHCACHE_TRIGGERS_H

#include "postgres.h"

#include "nodes/pg_list.h"

typedef enum DcTriggersState
{
	DC_TRIGGERS_ALWAYS,			/* both are there and always fire */
	DC_TRIGGERS_NOT_ALWAYS,		/* one does not fire for replication */
	DC_TRIGGERS_DISABLED,
	DC_TRIGGERS_MISSING
} DcTriggersState;

/* "rows" are lists of DcSourceRow. */
extern List *dc_triggers_relations(List *rows);
extern List *dc_triggers_family(Oid relid);
extern bool dc_triggers_same(List *a, List *b);
extern DcTriggersState dc_triggers_on(Oid relid);
extern bool dc_triggers_complete(List *rows);
extern void dc_triggers_install(List *rows, List *old_rows);
extern void dc_triggers_make_way(Oid parent, Oid partition);
extern void dc_triggers_remove_unused(List *relids);

#endif							/* DASHCACHE_TRIGGERS_H */
