/*-------------------------------------------------------------------------
 *
 * checks.c
 *		What a cached answer cannot stand for, and what it depends on.
 *
 * Refuses queries that write, that are random, or that belong to one session,
 * and takes down on the way which relations and functions the query mentions:
 * when one of them is redefined, the widget has to be looked at again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/checks.h"

#include "widget/policies.h"

#include "access/transam.h"
#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

static bool check_walker(Node *node, DcAnalysis *analysis);

/*
 * Report a position in the query with an error that is being raised.
 */
int
dc_query_position(int location)
{
	return location < 0 ? 0 : errposition(location + 1);
}

/*
 * Functions of the server whose result belongs to the session that calls them,
 * or to the server's inner life: no answer for others can come of it.  Of those
 * that are not immutable, whole families are told by their names.
 */
bool
dc_depends_on_session(Oid function)
{
	static const char *const prefixes[] = {
		"pg_", "inet_client", "inet_server", "txid_", "current_schema",
		"current_setting", "current_query", "has_", "row_security_active",
		"session_user", "getpgusername", "lo_get"
	};
	char	   *name;

	if (function >= FirstNormalObjectId ||
		func_volatile(function) == PROVOLATILE_IMMUTABLE ||
		function == F_PG_TYPEOF)
		return false;
	name = get_func_name(function);
	for (int i = 0; name != NULL && i < lengthof(prefixes); i++)
	{
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return false;
}

/* Functions of the server that read tables, which nobody can see. */
static bool
reads_tables(Oid function)
{
	switch (function)
	{
		case F_TABLE_TO_XML:
		case F_TABLE_TO_XML_AND_XMLSCHEMA:
		case F_SCHEMA_TO_XML:
		case F_SCHEMA_TO_XML_AND_XMLSCHEMA:
		case F_DATABASE_TO_XML:
		case F_DATABASE_TO_XML_AND_XMLSCHEMA:
			return true;
		default:
			return function >= FirstNormalObjectId;
	}
}

typedef struct FunctionCheck
{
	DcAnalysis *analysis;
	Oid			volatile_function;
	Oid			session_function;
} FunctionCheck;

static bool
function_checker(Oid function, void *context)
{
	FunctionCheck *check = context;

	if (function >= FirstNormalObjectId)
		check->analysis->functions =
			list_append_unique_oid(check->analysis->functions, function);

	if (dc_depends_on_session(function) || dc_mentions_session(function))
	{
		check->session_function = function;
		return true;
	}
	switch (func_volatile(function))
	{
		case PROVOLATILE_VOLATILE:
			check->volatile_function = function;
			return true;
		case PROVOLATILE_STABLE:
			check->analysis->uses_clock = true;
			if (reads_tables(function))
				check->analysis->stable_functions =
					list_append_unique_oid(check->analysis->stable_functions,
										   function);
			break;
		default:
			break;
	}
	return false;
}

/*
 * A literal such as 'today' is turned into a date when the query is analysed,
 * and again when it is planned, on other days.
 */
static void
check_literal(Const *literal, DcAnalysis *analysis)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
	Oid			type = get_element_type(literal->consttype);
	char		category;
	bool		preferred;
	const char *text;
	const char *end;

	if (analysis->query == NULL || literal->location < 0)
		return;
	get_type_category_preferred(OidIsValid(type) ? type : literal->consttype,
								&category, &preferred);
	if (category != TYPCATEGORY_DATETIME)
		return;
	text = strchr(analysis->query + literal->location, '\'');
	end = text == NULL ? NULL : strchr(text +1, '\'');

	for (; end != NULL && text <end; text ++)
	{
		for (int i = 0; i < lengthof(words); i++)
		{
			if (pg_strncasecmp(text, words[i], strlen(words[i])) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
						 errmsg("a widget's query must not use date literals that depend on the clock"),
						 errdetail("'%s' is turned into a date once, and would stay that date.",
								   words[i]),
						 errhint("Use now() or current_date."),
						 dc_query_position(literal->location)));
		}
	}
}

static void
check_aggregate(Oid aggregate, int location, DcAnalysis *analysis)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
	Form_pg_aggregate form;
	Oid			functions[6];

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	functions[0] = form->aggtransfn;
	functions[1] = form->aggfinalfn;
	functions[2] = form->aggcombinefn;
	functions[3] = form->aggmtransfn;
	functions[4] = form->aggminvtransfn;
	functions[5] = form->aggmfinalfn;
	ReleaseSysCache(tuple);

	for (int i = 0; i < lengthof(functions); i++)
	{
		if (!OidIsValid(functions[i]))
			continue;
		if (functions[i] >= FirstNormalObjectId)
			analysis->functions = list_append_unique_oid(analysis->functions,
														 functions[i]);
		if (func_volatile(functions[i]) == PROVOLATILE_VOLATILE)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("a widget's query must not use volatile functions"),
					 errdetail("Aggregate %s uses %s, which is volatile.",
							   format_procedure(aggregate),
							   format_procedure(functions[i])),
					 dc_query_position(location)));
	}
}

static bool
check_walker(Node *node, DcAnalysis *analysis)
{
	FunctionCheck check = {.analysis = analysis};

	if (node == NULL)
		return false;

	if (IsA(node, Query))
	{
		dc_check_query((Query *) node, analysis);
		return false;
	}

	if (IsA(node, Const))
		check_literal((Const *) node, analysis);

	/* an aggregate is what its functions are */
	if (IsA(node, Aggref))
		check_aggregate(((Aggref *) node)->aggfnoid, ((Aggref *) node)->location,
						analysis);
	if (IsA(node, WindowFunc) && ((WindowFunc *) node)->winagg)
		check_aggregate(((WindowFunc *) node)->winfnoid,
						((WindowFunc *) node)->location, analysis);

	/* nextval() has a node of its own */
	if (IsA(node, NextValueExpr))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a widget's query must not use volatile functions"),
				 errdetail("It draws from a sequence.")));
	if (IsA(node, SQLValueFunction))
	{
		SQLValueFunction *function = (SQLValueFunction *) node;

		if (function->op == SVFOP_SESSION_USER)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("a widget's query must not depend on the session that runs it"),
					 errdetail("SESSION_USER differs between sessions, the cached answer does not."),
					 dc_query_position(function->location)));
		analysis->uses_clock = true;
	}
	if (IsA(node, Param) &&
		((Param *) node)->paramkind == PARAM_EXTERN &&
		((Param *) node)->paramid == 2)
		analysis->uses_params = true;

	if (IsA(node, TableSampleClause) &&
		((TableSampleClause *) node)->repeatable == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a widget's query must not draw a random sample"),
				 errhint("Add REPEATABLE to TABLESAMPLE."),
				 dc_query_position(exprLocation(linitial(((TableSampleClause *) node)->args)))));

	if (check_functions_in_node(node, function_checker, &check))
	{
		if (OidIsValid(check.volatile_function))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("a widget's query must not use volatile functions"),
					 errdetail("Function %s is volatile.",
							   format_procedure(check.volatile_function)),
					 errhint("If it gives the same result for the same data, declare it STABLE or IMMUTABLE."),
					 dc_query_position(exprLocation(node))));
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a widget's query must not depend on the session that runs it"),
				 errdetail("The result of %s differs between sessions, the cached answer does not.",
						   format_procedure(check.session_function)),
				 errhint("Pass the value in params, as $2."),
				 dc_query_position(exprLocation(node))));
	}

	return expression_tree_walker(node, check_walker, analysis);
}

/* Refuse what writes, what is random, and what belongs to one session. */
void
dc_check_query(Query *query, DcAnalysis *analysis)
{
	ListCell   *lc;

	/* the position of a writing CTE is that of its name */
	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);

		if (IsA(cte->ctequery, Query) &&
			((Query *) cte->ctequery)->commandType != CMD_SELECT)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a widget's query must not write"),
					 errdetail("WITH query \"%s\" modifies data.", cte->ctename),
					 dc_query_position(cte->location)));
	}
	if (query->commandType != CMD_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must be one SELECT"),
				 errdetail("SELECT INTO and CREATE TABLE AS are not.")));
	if (query->rowMarks != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must not lock rows"),
				 errhint("Leave out FOR UPDATE or FOR SHARE.")));

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		/* views are still there after rewriting, as OLD and NEW of their rule */
		if (rte->rtekind == RTE_RELATION)
			analysis->relations = list_append_unique_oid(analysis->relations,
														 rte->relid);
		if (rte->rtekind == RTE_RELATION &&
			get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a widget's query must not read temporary tables"),
					 errdetail("Table \"%s\" is temporary: other sessions do not have it.",
							   get_rel_name(rte->relid))));
	}

	query_tree_walker(query, check_walker, analysis, 0);
}
