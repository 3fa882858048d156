/*-------------------------------------------------------------------------
 *
 * describe.c
 *		Saying what is watched, in words.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/describe.h"

#include "widget/code.h"
#include "widget/policies.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/ruleutils.h"

/* The name of a relation, with its schema. */
char *
dc_describe_relation(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

static char *
deparse(Node *expression, Oid relid)
{
	List	   *context = deparse_context_for(get_rel_name(relid), relid);

	return deparse_expression(expression, context, false, false);
}

/* The way from a row to its tenant, or why there is none. */
char *
dc_describe_key(const DcSourceRow *row)
{
	const DcSource *source = &row->source;
	StringInfoData out;

	switch (source->invalidation)
	{
		case DC_INVALIDATION_ANY:
			return psprintf("every tenant: %s", source->reason);
		case DC_INVALIDATION_TTL:
			return psprintf("none: %s", source->reason);
		case DC_INVALIDATION_ROW:
			break;
	}
	if (row->key_sql != NULL)
		return row->key_sql;
	if (source->key_expression != NULL)
		return deparse(source->key_expression, source->relid);

	initStringInfo(&out);
	appendStringInfoString(&out, get_attname(source->relid, source->key, false));
	for (int i = 0; i < source->nhops; i++)
	{
		const DcHop *hop = &source->hops[i];

		appendStringInfo(&out, hop->many ? " \342\206\220 %s.%s, %s" :
						 " \342\206\222 %s.%s \342\206\222 %s",
						 get_rel_name(hop->relid),
						 get_attname(hop->relid, hop->match, false),
						 get_attname(hop->relid, hop->next, false));
	}
	return out.data;
}

/* The conditions on a row that makes a difference; NULL if there are none. */
char *
dc_describe_condition(const DcSource *source)
{
	if (source->filter == NIL)
		return NULL;
	return deparse((Node *) make_ands_explicit(source->filter), source->relid);
}

static void
append_columns(StringInfo out, const DcSource *source)
{
	int			column = -1;
	const char *separator = "";

	if (source->columns.all)
		appendStringInfoString(out, "all columns");
	else if (bms_is_empty(source->columns.attnums))
		appendStringInfoString(out, "no column");
	while (!source->columns.all &&
		   (column = bms_next_member(source->columns.attnums, column)) >= 0)
	{
		appendStringInfo(out, "%s%s", separator,
						 get_attname(source->relid, column, false));
		separator = ", ";
	}
}

static void
append_line(StringInfo out)
{
	if (out->len > 0)
		appendStringInfoChar(out, '\n');
}

/* Tell the definer what is watched, and how. */
void
dc_describe_widget(const char *widget, const char *dashboard,
				   const DcAnalysis *analysis, List *rows)
{
	StringInfoData detail;
	ListCell   *lc;

	initStringInfo(&detail);
	foreach(lc, rows)
	{
		DcSourceRow *row = lfirst(lc);
		DcSource   *source = &row->source;
		char	   *condition = dc_describe_condition(source);

		append_line(&detail);
		appendStringInfo(&detail, "%s: ", dc_describe_relation(source->relid));
		switch (source->invalidation)
		{
			case DC_INVALIDATION_ROW:
				appendStringInfo(&detail, "rows by tenant, %s; reads ",
								 dc_describe_key(row));
				append_columns(&detail, source);
				break;
			case DC_INVALIDATION_ANY:
				appendStringInfo(&detail, "any change touches every tenant (%s); reads ",
								 source->reason);
				append_columns(&detail, source);
				break;
			case DC_INVALIDATION_TTL:
				appendStringInfo(&detail, "changes go unnoticed until the ttl ends (%s)",
								 source->reason);
				break;
		}
		if (condition != NULL)
			appendStringInfo(&detail, "; only where %s", condition);
	}
	foreach(lc, analysis->stable_functions)
	{
		append_line(&detail);
		appendStringInfo(&detail, "function %s: what it reads cannot be seen; dashcache_watch() adds a table",
						 format_procedure(lfirst_oid(lc)));
	}
	foreach(lc, analysis->policies)
	{
		DcPolicies *policies = lfirst(lc);

		append_line(&detail);
		appendStringInfo(&detail, "%s: row-level security applies: what role \"%s\" may see of it is cached for all readers",
						 dc_describe_relation(policies->relid),
						 GetUserNameFromId(policies->role, true));
	}
	foreach(lc, analysis->code)
	{
		DcCode	   *code = lfirst(lc);

		if (dc_code_trusted(code, GetUserId()))
			continue;
		append_line(&detail);
		appendStringInfo(&detail, "%s belongs to role \"%s\", which is trusted with it from now on",
						 dc_code_describe(code), GetUserNameFromId(code->role, true));
	}
	if (detail.len == 0)
		appendStringInfoString(&detail, "It reads no table.");

	ereport(NOTICE,
			(errmsg("widget \"%s\" of dashboard \"%s\" is defined", widget, dashboard),
			 errdetail_internal("%s", detail.data)));
}
