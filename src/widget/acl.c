/*-------------------------------------------------------------------------
 *
 * acl.c
 *		Who may do what: every permission question, and every refusal.
 *
 * A dashboard belongs to the role that first defined a widget of it.  Its
 * owner, whoever has the owner's privileges, and whoever it was granted to
 * may read it; only the former may change it.
 *
 * The refusals name what was asked for and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/acl.h"

#include "widget/catalog.h"

#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

/* May the current user do what only the owner may? */
bool
dc_acl_is_owner(const DcDashboard *dashboard)
{
	return has_privs_of_role(GetUserId(), dashboard->owner);
}

/*
 * The dashboards whose owner's privileges a role has: all, or, unless "name" is
 * NULL, that one.
 */
List *
dc_acl_dashboards(const char *name, Oid role)
{
	List	   *names = name != NULL ? list_make1(unconstify(char *, name)) :
	dc_catalog_dashboards();
	List	   *own = NIL;
	ListCell   *lc;

	foreach(lc, names)
	{
		DcDashboard *dashboard = dc_metacache_dashboard(lfirst(lc));

		if (dashboard != NULL && has_privs_of_role(role, dashboard->owner))
			own = lappend(own, dashboard);
	}
	return own;
}

/* Throw unless the current user may read the dashboard. */
void
dc_acl_check_read(const DcDashboard *dashboard)
{
	if (dc_acl_is_owner(dashboard))
		return;
	for (int i = 0; i < dashboard->ngrantees; i++)
	{
		/* InvalidOid stands for PUBLIC */
		if (dashboard->grantees[i] == InvalidOid ||
			has_privs_of_role(GetUserId(), dashboard->grantees[i]))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for dashboard \"%s\"", dashboard->name),
			 errhint("Its owner can allow it with dashcache_grant().")));
}

/* Throw unless the current user may change the dashboard. */
void
dc_acl_check_owner(const DcDashboard *dashboard)
{
	if (!dc_acl_is_owner(dashboard))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of dashboard \"%s\"", dashboard->name)));
}

/* Throw unless the current user may install triggers on a source. */
void
dc_acl_check_source(Oid relid)
{
	AclResult	result = pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);

	if (result != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", get_rel_name(relid)),
				 errdetail("Watching a table for changes needs the TRIGGER privilege on it.")));
}
