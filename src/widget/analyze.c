/*-------------------------------------------------------------------------
 *
 * analyze.c
 *		What a widget's query reads, and for which tenant.
 *
 * The query is parsed and analysed as if it were to be run, checked for what
 * a cached answer cannot stand for (checks.c), and rewritten, so that views
 * are expanded and row security is part of it.  Then its sources and their
 * tenant keys are found (keys.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/analyze.h"

#include "compat.h"
#include "widget/checks.h"
#include "widget/code.h"
#include "widget/keys.h"
#include "widget/policies.h"

#include "access/hash.h"
#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* The query under analysis, for the error context. */
typedef struct QueryText
{
	const char *query;
	bool		rewritten;		/* positions may be those in a view */
} QueryText;

/*
 * Positions in the widget's query are not positions in the statement that
 * contains it as a literal.
 */
static void
query_error_callback(void *arg)
{
	QueryText  *text = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		if (!text->rewritten)
		{
			internalerrposition(position);
			internalerrquery(text->query);
		}
	}
}

typedef struct FindParameter
{
	int			number;
	int			location;
} FindParameter;

static bool
find_parameter_walker(Node *node, FindParameter *find)
{
	if (node == NULL)
		return false;
	if (IsA(node, ParamRef) && ((ParamRef *) node)->number == find->number)
	{
		find->location = ((ParamRef *) node)->location;
		return true;
	}
	return raw_expression_tree_walker(node, find_parameter_walker, find);
}

/* Where a parameter stands in a raw parse tree; -1 if that is not known. */
static int
parameter_location(Node *statement, int number)
{
	FindParameter find = {.number = number,.location = -1};

	(void) find_parameter_walker(statement, &find);
	return find.location;
}

/* Where the first name of a list of RangeVars stands. */
static int
range_location(List *relations)
{
	return relations == NIL ? -1 : ((RangeVar *) linitial(relations))->location;
}

/*
 * Parse and analyse a widget's query, as the current user and under the current
 * settings, without looking at what it does.  Throws if it is not one SELECT with
 * a $1 whose type is known, which "tenant_type" is set to.
 */
Query *
dc_parse_query(const char *query, const DcRoles *admitted, List **code,
			   Oid *tenant_type)
{
	List	   *statements = raw_parser(query, RAW_PARSE_DEFAULT);
	RawStmt    *statement;
	SelectStmt *select;
	Oid		   *types;
	int			ntypes = 2;
	Query	   *parsed;

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must be one SELECT"),
				 errdetail("The query has %d statements.", list_length(statements)),
				 list_length(statements) > 1 ?
				 dc_query_position(((RawStmt *) lsecond(statements))->stmt_location) : 0));

	statement = linitial(statements);
	if (!IsA(statement->stmt, SelectStmt))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must be one SELECT"),
				 errdetail("The query is a different kind of statement."),
				 dc_query_position(Max(statement->stmt_location, 0))));

	select = (SelectStmt *) statement->stmt;
	if (select->intoClause != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must not write"),
				 errdetail("SELECT INTO makes a table."),
				 dc_query_position(select->intoClause->rel->location)));
	if (select->lockingClause != NIL)
	{
		LockingClause *clause = linitial(select->lockingClause);

		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must not lock rows"),
				 errhint("Leave out FOR UPDATE or FOR SHARE."),
				 dc_query_position(range_location(clause->lockedRels))));
	}

	/* literals are read by the input functions of their types */
	*code = dc_code_of_text(NIL, query);
	if (admitted != NULL)
		dc_code_check(*code, GetUserId(), admitted);

	types = palloc0(sizeof(Oid) * 2);
	types[1] = JSONBOID;
	parsed = parse_analyze_varparams(statement, query, &types, &ntypes, NULL);

	if (ntypes > 2)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("there is no parameter $%d", ntypes),
				 dc_query_position(parameter_location(statement->stmt, ntypes)),
				 errhint("$1 is the tenant, $2 the params, a jsonb object.")));
	if (types[0] == InvalidOid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("the query has no $1"),
				 errdetail("A widget is computed for a tenant, which the query refers to as $1."),
				 errhint("Add a condition such as \"WHERE company_id = $1\".")));
	if (types[0] == UNKNOWNOID)
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("could not determine data type of parameter $1"),
				 errhint("Cast it, as in \"$1::bigint\".")));
	if (get_typtype(types[0]) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("parameter $1 has pseudo-type %s", format_type_be(types[0])),
				 errhint("Cast it to the type of the tenant.")));
	*tenant_type = types[0];
	return parsed;
}

/* Can the query return no more than one row? */
static bool
returns_one_row(const Query *query)
{
	if (query->hasTargetSRFs)
		return false;
	if (query->limitCount != NULL && query->limitOption == LIMIT_OPTION_COUNT)
	{
		Const	   *limit = (Const *) eval_const_expressions(NULL, query->limitCount);

		if (IsA(limit, Const) && !limit->constisnull &&
			DatumGetInt64(limit->constvalue) <= 1)
			return true;
	}
	if (query->setOperations != NULL)
		return false;
	if ((query->hasAggs || query->havingQual != NULL) &&
		query->groupClause == NIL && query->groupingSets == NIL)
		return true;
	return query->jointree->fromlist == NIL;
}

/*-------------------------------------------------------------------------
 * Equal tenants
 *
 * 'ACME' and 'acme' are one tenant if the column is citext.  They may share an
 * answer if the query compares $1 and does nothing else with it.
 *-------------------------------------------------------------------------
 */

typedef struct TenantUse
{
	int			uses;
	int			compared;
	Oid			family;
	Oid			collation;
} TenantUse;

static bool
is_tenant(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node != NULL && IsA(node, Param) &&
		((Param *) node)->paramkind == PARAM_EXTERN &&
		((Param *) node)->paramid == 1;
}

static bool
tenant_use_walker(Node *node, TenantUse *use)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, tenant_use_walker, use, 0);
	if (IsA(node, Param) && is_tenant(node))
		use->uses++;
	if (IsA(node, OpExpr) && list_length(((OpExpr *) node)->args) == 2)
	{
		OpExpr	   *op = (OpExpr *) node;
		Oid			family = dc_hash_family_of(op->opno);
		bool		first = use->compared == 0;

		if (OidIsValid(family) &&
			is_tenant(linitial(op->args)) != is_tenant(lsecond(op->args)) &&
			(first || (family == use->family && op->inputcollid == use->collation)))
		{
			use->compared++;
			use->family = family;
			use->collation = op->inputcollid;
		}
	}
	return expression_tree_walker(node, tenant_use_walker, use);
}

/* Are values of this type equal only if they are the same bytes? */
bool
dc_equal_means_identical(Oid type, Oid collation)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case UUIDOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case BYTEAOID:
			return true;
		case TEXTOID:
		case VARCHAROID:
			return !OidIsValid(collation) || get_collation_isdeterministic(collation);
		default:
			return type_is_enum(type);
	}
}

static void
find_tenant_equality(Query *query, DcAnalysis *analysis)
{
	TenantUse	use = {0};
	Oid			type = getBaseType(analysis->tenant_type);
	Oid			operator;

	(void) tenant_use_walker((Node *) query, &use);
	if (use.compared == 0 || use.compared != use.uses ||
		dc_equal_means_identical(type, use.collation))
		return;

	operator = get_opfamily_member(use.family, type, type, HTEqualStrategyNumber);
	analysis->tenant_hash = get_opfamily_proc(use.family, type, type,
											  HASHSTANDARD_PROC);
	if (!OidIsValid(operator) || !OidIsValid(analysis->tenant_hash))
		return;
	analysis->tenant_equal = get_opcode(operator);
	analysis->tenant_collation = use.collation;
}

/*
 * Analyse a widget's query, as the current user and under the current
 * settings.  Throws, with the position in the query, if it cannot be cached, or
 * if it runs what belongs to roles that are not "admitted"; NULL: all are.
 * The result is in the current memory context; the sources' order is that of
 * their appearance.
 */
DcAnalysis *
dc_analyze_query(const char *query, const DcRoles *admitted)
{
	DcAnalysis *analysis = palloc0(sizeof(DcAnalysis));
	QueryText text = {.query = query};
	ErrorContextCallback callback;
	Query	   *parsed;
	List	   *rewritten;

	callback.callback = query_error_callback;
	callback.arg = &text;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	parsed = dc_parse_query(query, admitted, &analysis->code, &analysis->tenant_type);
	analysis->query = query;
	dc_check_query(parsed, analysis);
	analysis->query = NULL;
	analysis->ncolumns = ExecCleanTargetListLength(parsed->targetList);

	rewritten = QueryRewrite(copyObject(parsed));
	if (list_length(rewritten) != 1)
		elog(ERROR, "unexpected rewrite of a SELECT");

	text.		rewritten = true;

	/* from here on functions may be called: the planner does that */
	analysis->code = dc_code_of(dc_code_of_type(analysis->code, analysis->tenant_type),
								rewritten);
	if (admitted != NULL)
		dc_code_check(analysis->code, GetUserId(), admitted);
	analysis->one_row = returns_one_row(parsed);
	dc_policies_check(linitial(rewritten), analysis);
	dc_check_query(linitial(rewritten), analysis);
	dc_check_select_permissions(linitial(rewritten), query);
	dc_keys_find(linitial(rewritten), analysis);
	find_tenant_equality(linitial(rewritten), analysis);

	error_context_stack = callback.previous;

	return analysis;
}
