/*-------------------------------------------------------------------------
 *
 * policies.c
 *		Row-level security in a widget's query.
 *
 * An answer is computed as the widget's owner and served to others, so the
 * policies that apply are those for the owner, as with a view.  That is said
 * when the widget is defined.  A policy that asks who is asking (a setting of
 * the session, the current user) is meant to show each session its own rows;
 * such an answer is nobody else's, and is refused.  That a function asks cannot
 * be seen from outside: in a policy none that is not immutable is allowed but
 * the server's own.
 *
 * The rewriter has put the policies into the range table; there are none where
 * the role bypasses them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/policies.h"

#include "compat.h"
#include "widget/checks.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

/*
 * Does a function's source mention the session?  This looks for words, which
 * finds what is written without a thought of hiding it.
 */
bool
dc_mentions_session(Oid function)
{
	static const char *const words[] = {
		"current_setting", "session_user", "pg_backend_pid"
	};
	HeapTuple	tuple;
	Datum		source;
	bool		isnull;
	bool		found = false;

	if (function < FirstNormalObjectId)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang != ClanguageId)
	{
		char	   *body;

		/* a body in standard SQL is kept as a tree, which is put into words */
		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &isnull);
		if (!isnull)
			source = DirectFunctionCall1(pg_get_function_sqlbody, ObjectIdGetDatum(function));
		else
			source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
		body = isnull ? NULL : TextDatumGetCString(source);
		if (body != NULL)
			body = asc_tolower(body, strlen(body));
		for (int i = 0; body != NULL && i < lengthof(words); i++)
			found |= strstr(body, words[i]) != NULL;
	}
	ReleaseSysCache(tuple);
	return found;
}

/* What a policy depends on that differs between sessions; NULL: nothing. */
typedef struct Finding
{
	const char *what;
} Finding;

static bool
function_depends(Oid function, void *context)
{
	Finding    *finding = context;
	char	   *name = get_func_name(function);

	if (dc_depends_on_session(function) || dc_mentions_session(function) ||
		(function < FirstNormalObjectId && name != NULL && strcmp(name, "current_user") == 0))
		finding->what = psprintf("the result of %s", format_procedure(function));
	else if (function >= FirstNormalObjectId &&
			 func_volatile(function) != PROVOLATILE_IMMUTABLE)
		finding->what = psprintf("what %s does, which is not immutable and cannot be looked into,",
								 format_procedure(function));
	return finding->what != NULL;
}

static bool
policy_walker(Node *node, Finding *finding)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, policy_walker, finding, 0);
	if (IsA(node, SQLValueFunction))
	{
		switch (((SQLValueFunction *) node)->op)
		{
			case SVFOP_CURRENT_ROLE:
			case SVFOP_CURRENT_USER:
			case SVFOP_USER:
			case SVFOP_SESSION_USER:
				finding->what = "the current user";
				return true;
			case SVFOP_CURRENT_SCHEMA:
			case SVFOP_CURRENT_CATALOG:
				finding->what = "the current schema";
				return true;
			default:
				break;
		}
	}
	if (check_functions_in_node(node, function_depends, finding))
		return true;
	return expression_tree_walker(node, policy_walker, finding);
}

static void
note_policies(const Query *query, const RangeTblEntry *rte, DcAnalysis *analysis)
{
	DcPolicies *policies = palloc(sizeof(DcPolicies));
	Finding		finding = {NULL};
	Oid			role = dc_reads_as(query, rte);

	policies->relid = rte->relid;
	policies->role = OidIsValid(role) ? role : GetUserId();
	if (policy_walker((Node *) rte->securityQuals, &finding))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("row-level security of table \"%s\" depends on who is asking",
						get_rel_name(rte->relid)),
				 errdetail("In a policy that applies to role \"%s\", %s differs between sessions, the cached answer does not.",
						   GetUserNameFromId(policies->role, true), finding.what),
				 errhint("Let a role define the widget that policies do not apply to: the table's owner, or one with BYPASSRLS.")));
	analysis->policies = lappend(analysis->policies, policies);
}

static bool
query_walker(Node *node, DcAnalysis *analysis)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *lc;

		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst(lc);

			if (rte->rtekind == RTE_RELATION && rte->securityQuals != NIL)
				note_policies(query, rte, analysis);
		}
		return query_tree_walker(query, query_walker, analysis, 0);
	}
	return expression_tree_walker(node, query_walker, analysis);
}

/*
 * Take down which tables have policies that apply to a rewritten query, and
 * refuse those that depend on who is asking.
 */
void
dc_policies_check(Query *query, DcAnalysis *analysis)
{
	(void) query_walker((Node *) query, analysis);
}
