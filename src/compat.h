/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Every difference between PostgreSQL versions, and nothing else.
 *
 * No other file of dashcache mentions PG_VERSION_NUM (a check enforces it).
 * The reference is PostgreSQL 15; what later versions renamed is mapped here
 * to one spelling.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_COMPAT_H
#define DASHCACHE_COMPAT_H

#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "parser/parse_relation.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"

#if PG_VERSION_NUM < 150000
#error "dashcache needs PostgreSQL 15 or later"
#endif

/* PostgreSQL 17 renamed the struct that holds the next transaction ID. */
#if PG_VERSION_NUM >= 170000
#define DcTransamVariables TransamVariables
#else
#define DcTransamVariables ShmemVariableCache
#endif

/* The number of this process, from 0, among all that there can be. */
static inline int
dc_my_proc_number(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyProc->pgprocno;
#endif
}

/* Do event triggers fire?  PostgreSQL 17 lets a superuser turn them off. */
static inline bool
dc_event_triggers_fire(void)
{
#if PG_VERSION_NUM >= 170000
	return IsUnderPostmaster && event_triggers;
#else
	return IsUnderPostmaster;
#endif
}

/* PostgreSQL 16 made one function of those that ask whether a role is the owner. */
static inline bool
dc_database_ownercheck(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

static inline bool
dc_extension_ownercheck(Oid extension, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(ExtensionRelationId, extension, role);
#else
	return pg_extension_ownercheck(extension, role);
#endif
}

/*
 * Check that the current user may read all that a rewritten SELECT reads.  The
 * planner gathers the range table of all levels; PostgreSQL 16 moved the
 * permissions out of it.
 */
static inline void
dc_check_select_permissions(Query *query, const char *query_string)
{
	PlannedStmt *plan = pg_plan_query(copyObject(query), query_string, 0, NULL);

#if PG_VERSION_NUM >= 160000
	ExecCheckPermissions(plan->rtable, plan->permInfos, true);
#else
	ExecCheckRTPerms(plan->rtable, true);
#endif
}

/* What a membership gives, as a number; before 16 that is a matter of the member. */
static inline int
dc_membership_options(Form_pg_auth_members membership)
{
#if PG_VERSION_NUM >= 160000
	return 1 | membership->inherit_option << 1 | membership->set_option << 2;
#else
	return 1;
#endif
}

/* The role that a relation is read as; InvalidOid: the current user. */
static inline Oid
dc_reads_as(const Query *query, const RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	return rte->perminfoindex == 0 ? InvalidOid :
		getRTEPermissionInfo(query->rteperminfos, rte)->checkAsUser;
#else
	return rte->checkAsUser;
#endif
}

/* Does the current user own a relation? */
static inline bool
dc_owns_relation(Oid relid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, GetUserId());
#else
	return pg_class_ownercheck(relid, GetUserId());
#endif
}

/* Make a trigger of one table fire always, as ALTER TABLE does. */
static inline void
dc_enable_trigger_always(Relation relation, const char *name)
{
#if PG_VERSION_NUM >= 160000
	EnableDisableTrigger(relation, name, InvalidOid, TRIGGER_FIRES_ALWAYS,
						 true, false, ShareRowExclusiveLock);
#else
	EnableDisableTrigger(relation, name, TRIGGER_FIRES_ALWAYS,
						 true, ShareRowExclusiveLock);
#endif
}

#endif							/* DASHCACHE_COMPAT_H */
