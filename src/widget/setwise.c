/*-------------------------------------------------------------------------
 *
 * setwise.c
 *		One query for many tenants, made from one for $1.
 *
 * What a query says for each of many tenants is
 *
 *		SELECT t.n, q.*
 *		FROM unnest(tenants) WITH ORDINALITY t (tenant, n), LATERAL (query) q
 *
 * with t.tenant in place of $1.  If the query aggregates, and $1 is only in its
 * own WHERE, the list of tenants can as well be joined inside the query, and
 * t.n be added to its GROUP BY:
 *
 *		SELECT count(*), t.n
 *		FROM conversations, unnest(tenants) WITH ORDINALITY t (tenant, n)
 *		WHERE company_id = t.tenant
 *		GROUP BY t.n
 *		ORDER BY t.n
 *
 * This has the rows of all tenants for whom the WHERE leaves any, and it means
 * the same whatever "=" means: each tenant's group consists of the very rows that
 * its own query would aggregate.  So what is left to make certain of is that the
 * order in which they come does not show.  (The number tells tenants apart, and
 * not the key, since keys may be equal without being the same.)
 *
 * Here it is decided whether a query allows that; setwise_query.c makes the new one.
 *
 * A LIMIT is the one thing that has no counterpart in SQL; the caller counts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/setwise.h"

#include "widget/analyze.h"
#include "widget/checks.h"
#include "widget/code.h"
#include "widget/exact.h"
#include "widget/keys.h"
#include "widget/setwise_internal.h"

#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

/*-------------------------------------------------------------------------
 * What the rows are made from
 *
 * All levels, views and row security included, must give the same rows
 * whatever plan is chosen.
 *-------------------------------------------------------------------------
 */

typedef struct Check
{
	Query	   *query;			/* the level being looked at */
	Query	   *top;
	const char *reason;
} Check;

static bool check_walker(Node *node, Check *check);

static const char *
level_reason(const Query *query, bool top)
{
	if (query->setOperations != NULL)
		return "the query has UNION, INTERSECT or EXCEPT";
	if (query->cteList != NIL)
		return "the query has WITH";
	if (query->hasWindowFuncs)
		return "the query has window functions";
	if (query->hasTargetSRFs)
		return "the query has functions that return sets in its select list";
	if (query->groupingSets != NIL)
		return "the query has grouping sets";
	if (query->distinctClause != NIL)
		return "the query has DISTINCT";
	if (!top && (query->limitCount != NULL || query->limitOffset != NULL))
		return "a subquery has LIMIT or OFFSET";
	return NULL;
}

/* Equal values that are written differently: which one represents the group? */
static const char *
grouping_reason(const Query *query)
{
	ListCell   *lc;

	foreach(lc, query->groupClause)
	{
		Node	   *expression = get_sortgroupclause_expr(lfirst(lc), query->targetList);

		if (!dc_equal_is_identical_expr(expression))
			return psprintf("values of type %s that are grouped together may be written in different ways",
							format_type_be(exprType(expression)));
		if (!dc_compares_by_default(lfirst(lc), expression))
			return psprintf("values of type %s are grouped by an operator that is not the type's own",
							format_type_be(exprType(expression)));
	}
	return NULL;
}

static const char *
table_reason(const Query *query, const RangeTblEntry *rte)
{
	if (rte->rtekind != RTE_RELATION)
		return NULL;
	if (rte->tablesample != NULL)
		return "the query draws a sample";
	if (rte->relkind == RELKIND_FOREIGN_TABLE)
		return psprintf("%s is a foreign table", get_rel_name(rte->relid));

	/* a primary key holds for each table of its own, not for its children */
	if (query->constraintDeps != NIL && rte->inh &&
		rte->relkind == RELKIND_RELATION && has_subclass(rte->relid))
		return psprintf("%s has children, and columns that are not in GROUP BY depend on a primary key",
						get_rel_name(rte->relid));
	return NULL;
}

/* Functions that may read tables, in an order that nobody knows. */
static bool
is_unknown_function(Oid function, void *context)
{
	if (function < FirstNormalObjectId ||
		func_volatile(function) == PROVOLATILE_IMMUTABLE)
		return false;
	*(Oid *) context = function;
	return true;
}

static void
check_level(Query *query, Check *check)
{
	Query	   *above = check->query;

	check->query = query;
	if (check->reason == NULL)
		check->reason = level_reason(query, query == check->top);
	if (check->reason == NULL)
		check->reason = grouping_reason(query);
	if (check->reason == NULL)
		(void) query_tree_walker(query, check_walker, check,
								 QTW_IGNORE_JOINALIASES);
	check->query = above;
}

static bool
check_walker(Node *node, Check *check)
{
	Oid			function;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Query:
			check_level((Query *) node, check);
			return check->reason != NULL;
		case T_RangeTblRef:
			check->reason = table_reason(check->query,
										 rt_fetch(((RangeTblRef *) node)->rtindex,
												  check->query->rtable));
			break;
		case T_SubLink:
			if (((SubLink *) node)->subLinkType == ARRAY_SUBLINK)
				check->reason = "the order of an ARRAY subquery is not fixed";
			break;
		case T_Aggref:
			check->reason = dc_inexact_aggregate((Aggref *) node);
			if (check->reason != NULL)
				return true;
			/* its own function is known, those of its arguments are not */
			return expression_tree_walker(node, check_walker, check);
		default:
			break;
	}
	if (check->reason == NULL &&
		check_functions_in_node(node, is_unknown_function, &function))
		check->reason = psprintf("function %s is not immutable, and not the server's own",
								 format_procedure(function));
	return check->reason != NULL ||
		expression_tree_walker(node, check_walker, check);
}

/*-------------------------------------------------------------------------
 * Where $1 is
 *-------------------------------------------------------------------------
 */

typedef struct Uses
{
	int			here;
	int			below;			/* in subqueries */
	int			depth;
} Uses;

static bool
uses_walker(Node *node, Uses *uses)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		uses->depth++;
		(void) query_tree_walker((Query *) node, uses_walker, uses,
								 QTW_IGNORE_JOINALIASES);
		uses->depth--;
		return false;
	}
	if (dc_setwise_is_tenant(node))
	{
		if (uses->depth > 0)
			uses->below++;
		else
			uses->here++;
	}
	return expression_tree_walker(node, uses_walker, uses);
}

static int
count_tenants(Node *node)
{
	Uses		uses = {0};

	(void) uses_walker(node, &uses);
	return uses.here + uses.below;
}

/* Split a condition at its ANDs: with $1 into "with", the others stay. */
static Node *
split_condition(Node *condition, List **with)
{
	List	   *others = NIL;
	List	   *parts;
	ListCell   *lc;

	if (condition == NULL)
		return NULL;
	if (!is_andclause(condition))
	{
		if (count_tenants(condition) == 0)
			return condition;
		*with = lappend(*with, condition);
		return NULL;
	}
	parts = ((BoolExpr *) condition)->args;
	foreach(lc, parts)
	{
		Node	   *rest = split_condition(lfirst(lc), with);

		if (rest != NULL)
			others = lappend(others, rest);
	}
	return others == NIL ? NULL : (Node *) make_ands_explicit(others);
}

/*
 * Take the conditions with $1 out of the joins, where they mean the same in
 * WHERE: not from where an outer join may fill up with nulls.
 */
static void
split_joins(Node *item, List **with)
{
	JoinExpr   *join = (JoinExpr *) item;

	if (!IsA(item, JoinExpr))
		return;
	if (join->jointype == JOIN_INNER)
		join->quals = split_condition(join->quals, with);
	if (join->jointype == JOIN_INNER || join->jointype == JOIN_LEFT)
		split_joins(join->larg, with);
	if (join->jointype == JOIN_INNER || join->jointype == JOIN_RIGHT)
		split_joins(join->rarg, with);
}

/*
 * Take the conditions with $1 out of the query.  Changes it.
 */
List *
dc_setwise_take_conditions(Query *query)
{
	List	   *with = NIL;
	ListCell   *lc;

	query->jointree->quals = split_condition(query->jointree->quals, &with);
	foreach(lc, query->jointree->fromlist)
		split_joins(lfirst(lc), &with);
	return with;
}

/*
 * If a condition says that something is equal to $1, that something: with such a
 * condition the tables can be joined to the list of tenants.  Else NULL.
 */
Node *
dc_setwise_key(Node *condition)
{
	OpExpr	   *op = (OpExpr *) condition;
	Node	   *key = NULL;

	if (!IsA(condition, OpExpr) || list_length(op->args) != 2 ||
		!OidIsValid(dc_hash_family_of(op->opno)))
		return NULL;
	for (int i = 0; i < 2; i++)
	{
		Node	   *side = list_nth(op->args, i);

		while (IsA(side, RelabelType))
			side = (Node *) ((RelabelType *) side)->arg;
		if (dc_setwise_is_tenant(side))
			key = list_nth(op->args, 1 - i);
	}
	return key != NULL && count_tenants(key) == 0 &&
		contain_vars_of_level(key, 0) ? key : NULL;
}

/*-------------------------------------------------------------------------
 * Each tenant's rows, and their order
 *-------------------------------------------------------------------------
 */

/*
 * Is a grouping column the same in all groups of a tenant, being equal to $1?
 */
static bool
is_tenant_key(Node *expression, List *keys)
{
	return list_member(keys, expression) && dc_equal_is_identical_expr(expression);
}

/*
 * Is the order of each tenant's groups fixed?  It is if ORDER BY tells any two
 * groups apart: if it has all columns of GROUP BY, or those that the others
 * depend on.
 */
static bool
groups_ordered(const Query *query, List *keys)
{
	List	   *fixed = NIL;	/* the columns in ORDER BY */
	List	   *others = NIL;
	ListCell   *lc;

	foreach(lc, query->groupClause)
	{
		SortGroupClause *group = lfirst(lc);
		Node	   *expression = get_sortgroupclause_expr(group, query->targetList);
		SortGroupClause *sort =
		get_sortgroupref_clause_noerr(group->tleSortGroupRef, query->sortClause);

		if (IsA(expression, Const) || is_tenant_key(expression, keys) ||
			(sort != NULL && sort->eqop == group->eqop &&
			 dc_compares_by_default(sort, expression)))
			fixed = lappend(fixed, expression);
		else
			others = lappend(others, expression);
	}

	foreach(lc, others)
	{
		Var		   *var = lfirst(lc);
		RangeTblEntry *rte;
		List	   *dependencies = NIL;

		if (!IsA(var, Var) || var->varlevelsup != 0)
			return false;
		rte = rt_fetch(var->varno, query->rtable);
		if (rte->rtekind != RTE_RELATION ||
			(rte->inh && rte->relkind == RELKIND_RELATION &&
			 has_subclass(rte->relid)) ||
			!check_functional_grouping(rte->relid, var->varno, 0, fixed,
									   &dependencies))
			return false;
	}
	return true;
}

/* Reads LIMIT or OFFSET; false if it is not a constant. */
static bool
read_limit(Node *expression, int64 *limit)
{
	Const	   *constant = (Const *) eval_const_expressions(NULL, expression);

	if (constant == NULL)
		return true;
	if (!IsA(constant, Const))
		return false;
	if (!constant->constisnull)
	{
		*limit = DatumGetInt64(constant->constvalue);
		if (*limit < 0)
			return false;
	}
	return true;
}

static const char *
result_reason(DcSetwise *setwise)
{
	Query	   *query = setwise->query;
	Query	   *split = copyObject(query);
	Uses		uses = {0};
	List	   *conditions = dc_setwise_take_conditions(split);
	List	   *keys = NIL;
	int			taken = 0;
	bool		found = false;
	ListCell   *lc;

	if (query->groupClause == NIL && !query->hasAggs)
		return "the query does not aggregate";
	if (query->groupClause == NIL && query->havingQual != NULL)
		return "the query has HAVING without GROUP BY";
	if (query->limitOption == LIMIT_OPTION_WITH_TIES)
		return "the query has LIMIT WITH TIES";
	if (!read_limit(query->limitCount, &setwise->limit) ||
		!read_limit(query->limitOffset, &setwise->offset))
		return "LIMIT or OFFSET is not a constant";

	(void) query_tree_walker(query, uses_walker, &uses, QTW_IGNORE_JOINALIASES);
	if (uses.below > 0)
		return "$1 is used in a subquery";
	foreach(lc, conditions)
	{
		Node	   *key = dc_setwise_key(lfirst(lc));

		taken += count_tenants(lfirst(lc));
		if (key == NULL)
			continue;
		found = true;
		/* another's "=", or collation, may call equal what is not the same */
		if (((OpExpr *) lfirst(lc))->opno < FirstNormalObjectId &&
			((OpExpr *) lfirst(lc))->inputcollid == exprCollation(key))
			keys = lappend(keys, key);
	}
	if (taken < uses.here)
		return "$1 is used outside of WHERE";
	if (!found)
		return "no condition of WHERE says that a column is equal to $1";

	if (query->groupClause != NIL && !groups_ordered(query, keys))
		return "ORDER BY does not fix the order of the groups";
	return NULL;
}

/*
 * Can a widget's query be computed for many tenants at once?  As the current
 * user and under the current settings, like the query itself, and running what
 * belongs to the same roles.
 */
DcSetwise *
dc_setwise_analyze(const char *query, const DcRoles *admitted)
{
	DcSetwise  *setwise = palloc0(sizeof(DcSetwise));
	List	   *code = NIL;
	Query	   *parsed = dc_parse_query(query, admitted, &code, &setwise->tenant_type);
	List	   *rewritten = QueryRewrite(parsed);
	DcAnalysis	analysis = {0};
	Check		check = {0};

	if (list_length(rewritten) != 1)
		elog(ERROR, "unexpected rewrite of a SELECT");
	setwise->query = linitial(rewritten);
	setwise->limit = -1;
	dc_code_check(dc_code_of(code, rewritten), GetUserId(), admitted);

	/* names may have come to mean something else since it was defined */
	dc_check_query(setwise->query, &analysis);

	if (!OidIsValid(get_array_type(setwise->tenant_type)))
	{
		setwise->reason = "there are no arrays of the type of $1";
		return setwise;
	}
	check.top = setwise->query;
	check_level(setwise->query, &check);
	setwise->reason = check.reason;
	if (setwise->reason == NULL)
		setwise->reason = result_reason(setwise);
	return setwise;
}
