/*-------------------------------------------------------------------------
 *
 * setwise_query.c
 *		Making the query for many tenants, see setwise.c.
 *
 * Where one condition says that a column is equal to $1, and equal is the same,
 * rows are grouped by that column, and the list of tenants is joined to the
 * groups: there are fewer of those.  Else the list is joined to the rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/setwise.h"

#include "widget/exact.h"
#include "widget/setwise_internal.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "parser/parse_oper.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

static Const *
tenant_array(Oid type, Datum *tenants, int ntenants)
{
	int16		len;
	bool		byval;
	char		align;
	ArrayType  *array;

	get_typlenbyvalalign(type, &len, &byval, &align);
	array = construct_array(tenants, ntenants, type, len, byval, align);
	return makeConst(get_array_type(type), -1, get_typcollation(type), -1,
					 PointerGetDatum(array), false, false);
}

static int
add_to_from(Query *query, RangeTblEntry *rte)
{
	RangeTblRef *reference = makeNode(RangeTblRef);

	rte->inFromCl = true;
	query->rtable = lappend(query->rtable, rte);
	reference->rtindex = list_length(query->rtable);
	query->jointree->fromlist = lappend(query->jointree->fromlist, reference);
	return reference->rtindex;
}

/* unnest(tenants) WITH ORDINALITY, added to FROM; its range table index. */
static int
add_tenants(Query *query, Oid type, Datum *tenants, int ntenants)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblFunction *function = makeNode(RangeTblFunction);
	Const	   *array = tenant_array(type, tenants, ntenants);
	FuncExpr   *unnest = makeFuncExpr(F_UNNEST_ANYARRAY, type, list_make1(array),
									  get_typcollation(type),
									  get_typcollation(type),
									  COERCE_EXPLICIT_CALL);

	unnest->funcretset = true;
	function->funcexpr = (Node *) unnest;
	function->funccolcount = 1;
	rte->rtekind = RTE_FUNCTION;
	rte->functions = list_make1(function);
	rte->funcordinality = true;
	rte->eref = makeAlias("tenants", list_make2(makeString("tenant"),
												makeString("ordinality")));
	return add_to_from(query, rte);
}

typedef struct Replacement
{
	int			tenants;		/* $1 becomes its first column, */
	Node	   *key;			/* or this, */
	Var		   *column;			/* and this expression that column */
} Replacement;

static Node *
replace_mutator(Node *node, Replacement *replacement)
{
	if (node == NULL)
		return NULL;
	if (dc_setwise_is_tenant(node) && replacement->tenants != 0)
	{
		Param	   *param = (Param *) node;

		return (Node *) makeVar(replacement->tenants, 1, param->paramtype,
								param->paramtypmod, param->paramcollid, 0);
	}
	if (dc_setwise_is_tenant(node))
		return copyObject(replacement->key);
	if (replacement->column != NULL && equal(node, replacement->key))
		return (Node *) replacement->column;
	return expression_tree_mutator(node, replace_mutator, replacement);
}

/* Add a column to GROUP BY. */
static SortGroupClause *
group_by(Query *query, TargetEntry *entry)
{
	SortGroupClause *clause = makeNode(SortGroupClause);

	clause->tleSortGroupRef = assignSortGroupRef(entry, query->targetList);
	get_sort_group_operators(exprType((Node *) entry->expr), true, true, false,
							 &clause->sortop, &clause->eqop, NULL,
							 &clause->hashable);
	return clause;
}

/* The tenant's number, as the last column and first in ORDER BY. */
static SortGroupClause *
add_number(Query *query, int tenants)
{
	Var		   *number = makeVar(tenants, 2, INT8OID, -1, InvalidOid, 0);
	int			columns = ExecCleanTargetListLength(query->targetList);
	TargetEntry *entry = makeTargetEntry((Expr *) number, columns + 1, "tenant",
										 false);
	SortGroupClause *clause;
	ListCell   *lc;

	/* columns that are for sorting only come last */
	foreach(lc, query->targetList)
	{
		TargetEntry *other = lfirst(lc);

		if (other->resjunk)
			other->resno++;
	}
	query->targetList = list_insert_nth(query->targetList, columns, entry);
	clause = group_by(query, entry);
	query->sortClause = lcons(clause, query->sortClause);
	return clause;
}

/* The list of tenants is joined to the rows. */
static Query *
join_to_rows(DcSetwise *setwise, List *conditions, Datum *tenants, int ntenants)
{
	Query	   *query = setwise->query;
	Replacement replacement = {0};
	Node	   *condition;
	SortGroupClause *clause;

	replacement.tenants = add_tenants(query, setwise->tenant_type, tenants,
									  ntenants);
	condition = replace_mutator((Node *) make_ands_explicit(conditions),
								&replacement);
	query->jointree->quals = make_and_qual(query->jointree->quals, condition);
	clause = add_number(query, replacement.tenants);
	query->groupClause = lcons(copyObject(clause), query->groupClause);
	return query;
}

/*
 * The condition by whose key rows can be grouped in place of the tenant: the
 * same tenant, the same bytes.  NULL if there is none.
 */
static OpExpr *
identifying_condition(List *conditions, Oid tenant_type)
{
	ListCell   *lc;

	foreach(lc, conditions)
	{
		OpExpr	   *op = lfirst(lc);
		Node	   *key = dc_setwise_key((Node *) op);

		if (key != NULL && exprType(key) == tenant_type &&
			dc_equal_is_identical_expr(key) &&
			op->inputcollid == exprCollation(key) &&
			op->opno == lookup_type_cache(tenant_type, TYPECACHE_EQ_OPR)->eq_opr)
			return op;
	}
	return NULL;
}

/* key = ANY (tenants) */
static Node *
any_tenant(const OpExpr *op, Node *key, Const *array)
{
	ScalarArrayOpExpr *any = makeNode(ScalarArrayOpExpr);

	any->opno = op->opno;
	any->opfuncid = get_opcode(op->opno);
	any->useOr = true;
	any->inputcollid = op->inputcollid;
	any->args = list_make2(copyObject(key), array);
	any->location = -1;
	return (Node *) any;
}

/* The list of tenants is joined to the groups. */
static Query *
join_to_groups(DcSetwise *setwise, List *conditions, OpExpr *identifying,
			   Datum *tenants, int ntenants)
{
	Query	   *inner = setwise->query;
	Query	   *outer = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Node	   *key = dc_setwise_key((Node *) identifying);
	Replacement replacement = {.key = key};
	TargetEntry *key_entry;
	List	   *names = NIL;
	ListCell   *lc;

	outer->commandType = CMD_SELECT;
	outer->canSetTag = true;
	outer->jointree = makeFromExpr(NIL, NULL);
	outer->hasRowSecurity = inner->hasRowSecurity;
	outer->sortClause = inner->sortClause;
	inner->sortClause = NIL;

	/* what was for sorting only is now sorted by above */
	foreach(lc, inner->targetList)
	{
		TargetEntry *entry = lfirst(lc);
		Node	   *expression = (Node *) entry->expr;
		Var		   *var = makeVar(1, entry->resno, exprType(expression),
								  exprTypmod(expression),
								  exprCollation(expression), 0);
		TargetEntry *above = makeTargetEntry((Expr *) var, entry->resno,
											 entry->resname, entry->resjunk);

		if (get_sortgroupref_clause_noerr(entry->ressortgroupref,
										  outer->sortClause) != NULL)
			above->ressortgroupref = entry->ressortgroupref;
		outer->targetList = lappend(outer->targetList, above);
		entry->resjunk = false;
		names = lappend(names, makeString(entry->resname ? entry->resname : "?column?"));
	}
	names = lappend(names, makeString("key"));

	key_entry = makeTargetEntry((Expr *) copyObject(key), list_length(names),
								"key", false);
	inner->targetList = lappend(inner->targetList, key_entry);
	inner->groupClause = lcons(group_by(inner, key_entry), inner->groupClause);

	foreach(lc, conditions)
	{
		Node	   *condition = lfirst(lc) == identifying ?
		any_tenant(identifying, key, tenant_array(setwise->tenant_type,
												  tenants, ntenants)) :
		replace_mutator(lfirst(lc), &replacement);

		inner->jointree->quals = make_and_qual(inner->jointree->quals, condition);
	}

	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = inner;
	rte->eref = makeAlias("groups", names);
	(void) add_to_from(outer, rte);

	replacement.tenants = add_tenants(outer, setwise->tenant_type, tenants,
									  ntenants);
	replacement.column = makeVar(1, key_entry->resno, exprType(key),
								 exprTypmod(key), exprCollation(key), 0);
	outer->jointree->quals = replace_mutator((Node *) identifying, &replacement);
	(void) add_number(outer, replacement.tenants);
	return outer;
}

/*
 * The query for these tenants, to be planned and run.  Its last column is the
 * tenant's number, from 1, in the order of which the rows come; LIMIT and OFFSET
 * are left to the caller, and so are tenants without rows.  Uses up "setwise".
 */
Query *
dc_setwise_query(DcSetwise *setwise, Datum *tenants, int ntenants)
{
	List	   *conditions = dc_setwise_take_conditions(setwise->query);
	OpExpr	   *identifying = identifying_condition(conditions,
													setwise->tenant_type);

	setwise->query->limitCount = NULL;
	setwise->query->limitOffset = NULL;
	return identifying == NULL ?
		join_to_rows(setwise, conditions, tenants, ntenants) :
		join_to_groups(setwise, conditions, identifying, tenants, ntenants);
}
