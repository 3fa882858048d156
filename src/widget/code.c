/*-------------------------------------------------------------------------
 *
 * code.c
 *		Whose code a query runs.
 *
 * A widget's query runs as the widget's owner, and so does what other roles
 * have a hand in: functions, domains, views, the policies of tables.  Who
 * defines a widget admits the roles that these belong to, as with a view.  But
 * a view is bound to what it names, and a widget is a text: who owns a table
 * may drop it and put a view in its place, and have his functions run by who
 * expected a table.  So it is checked, before the query is parsed, planned or run,
 * that such objects (code_find.c) belong to roles that were admitted, or that can
 * do no worse than they can anyway: the owner, who has its privileges, superusers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/code.h"

#include "catalog/objectaddress.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

/* Counts what may have changed what belongs to whom, and what runs it. */
static uint64 generation = 1;

/* A relation has changed, or what is attached to it. */
void
dc_code_changed(void)
{
	generation++;
}

static void
function_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	generation++;
}

/* Set up; once in each process. */
void
dc_code_init(void)
{
	CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, function_changed, (Datum) 0);
}

/* Can the owner of this do no worse by it than it can anyway? */
bool
dc_code_trusted(const DcCode *code, Oid owner)
{
	return OidIsValid(code->role) &&
		(superuser_arg(code->role) || has_privs_of_role(code->role, owner));
}

/* Say what something is, for a message. */
char *
dc_code_describe(const DcCode *code)
{
	ObjectAddress address;

	ObjectAddressSet(address, code->class, code->object);
	return getObjectDescription(&address, false);
}

/* Let the owners of all this be among the roles. */
void
dc_code_admit(List *code, DcRoles *roles)
{
	ListCell   *lc;

	foreach(lc, code)
		dc_roles_add(roles, ((DcCode *) lfirst(lc))->role);
}

/*
 * Throw if what a query runs, as "owner", belongs to somebody who was not
 * admitted.
 */
void
dc_code_check(List *all, Oid owner, const DcRoles *admitted)
{
	ListCell   *lc;

	foreach(lc, all)
	{
		DcCode	   *code = lfirst(lc);

		if (dc_roles_contain(admitted, code->role) || dc_code_trusted(code, owner))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to run what belongs to role \"%s\"",
						GetUserNameFromId(code->role, true)),
				 errdetail("It is %s, and would run as role \"%s\", which has not admitted it.",
						   dc_code_describe(code), GetUserNameFromId(owner, true)),
				 errhint("Who defines a widget admits what its query runs then.")));
	}
}

/* What the rewritten queries of a plan run, added to a list. */
List *
dc_code_of_plan(List *code, SPIPlanPtr plan)
{
	ListCell   *lc;

	foreach(lc, SPI_plan_get_plan_sources(plan))
		code = dc_code_of(code, ((CachedPlanSource *) lfirst(lc))->query_list);
	return code;
}

/*
 * The same as dc_code_check(), of a plan that is current; nothing is looked at
 * again for nothing.
 */
void
dc_code_check_plan(DcKeptPlan *kept, Oid owner, const DcRoles *admitted)
{
	uint64		now = generation + dc_standing_generation();

	if (kept->checked == now)
		return;
	dc_code_check(dc_code_of_plan(NIL, kept->plan), owner, admitted);
	kept->checked = now;
}

/* Keep a plan; "roles" is their generation from before it was made. */
void
dc_code_keep_plan(DcKeptPlan *kept, SPIPlanPtr plan, uint64 roles)
{
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	kept->plan = plan;
	kept->roles = roles;
	kept->checked = 0;
}

/* Free a plan, if there is one. */
void
dc_code_forget_plan(DcKeptPlan *kept)
{
	if (kept->plan != NULL)
		SPI_freeplan(kept->plan);
	kept->plan = NULL;
}

/*
 * Is there a plan, still of the queries that it was made from?  If not it is
 * freed.  The relations are locked first, so that it is until the end of the
 * transaction: else the server would find out while it locks them, and silently
 * make it of others.  Nor need the server know that policies have come to apply,
 * or no longer do, since a role is not what it was.
 */
bool
dc_code_plan_is_current(DcKeptPlan *kept)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (kept->plan == NULL)
		return false;
	foreach(lc, SPI_plan_get_plan_sources(kept->plan))
	{
		foreach(lc2, ((CachedPlanSource *) lfirst(lc))->relationOids)
			LockRelationOid(lfirst_oid(lc2), AccessShareLock);
	}
	if (kept->roles == dc_standing_generation() && SPI_plan_is_valid(kept->plan))
		return true;
	dc_code_forget_plan(kept);
	return false;
}
