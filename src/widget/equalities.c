/*-------------------------------------------------------------------------
 *
 * equalities.c
 *		What must be equal to what, for a row to make a difference.
 *
 * See keys.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/keys_internal.h"

#include "access/hash.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* The hash operator family in which an operator is equality, if any. */
Oid
dc_hash_family_of(Oid operator)
{
	CatCList   *list = SearchSysCacheList1(AMOPOPID, ObjectIdGetDatum(operator));
	Oid			family = InvalidOid;

	for (int i = 0; i < list->n_members && !OidIsValid(family); i++)
	{
		Form_pg_amop amop = (Form_pg_amop) GETSTRUCT(&list->members[i]->tuple);

		if (amop->amopmethod == HASH_AM_OID &&
			amop->amopstrategy == HTEqualStrategyNumber)
			family = amop->amopfamily;
	}
	ReleaseSysCacheList(list);
	return family;
}

/*
 * A function that may be evaluated in a trigger, where it must not fail: one
 * of these, or a comparison.
 */
static bool
is_harmless(Oid function, void *context)
{
	switch (function)
	{
		case F_LOWER_TEXT:
		case F_UPPER_TEXT:
		case F_BTRIM_TEXT:
		case F_INT8_INT4:
		case F_INT8_INT2:
		case F_INT4_INT2:
		case F_TEXT_BPCHAR:
		case F_JSONB_OBJECT_FIELD:
		case F_JSONB_OBJECT_FIELD_TEXT:
			return false;
		default:
			return true;		/* stop: not harmless */
	}
}

/* Is this an operator that compares, of the server's own? */
static bool
compares(Oid operator)
{
	CatCList   *list;
	bool		found = false;

	if (operator >= FirstNormalObjectId)
		return false;
	list = SearchSysCacheList1(AMOPOPID, ObjectIdGetDatum(operator));
	for (int i = 0; i < list->n_members && !found; i++)
	{
		Form_pg_amop amop = (Form_pg_amop) GETSTRUCT(&list->members[i]->tuple);

		found = amop->amopmethod == BTREE_AM_OID ||
			amop->amopmethod == HASH_AM_OID;
	}
	ReleaseSysCacheList(list);
	if (!found)
	{
		/* "<>" is in no operator family, its negator is */
		Oid			negator = get_negator(operator);

		found = OidIsValid(negator) && OidIsValid(dc_hash_family_of(negator));
	}
	return found;
}

typedef struct RowOnly
{
	int			rti;
	int			vars;
} RowOnly;

/* True if the expression needs more than the row, or might fail. */
static bool
needs_more_walker(Node *node, RowOnly *row)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
			row->vars++;
			return ((Var *) node)->varno != row->rti ||
				((Var *) node)->varlevelsup != 0 || ((Var *) node)->varattno <= 0;
		case T_Const:
			return false;
		case T_OpExpr:
			if (!compares(((OpExpr *) node)->opno) &&
				check_functions_in_node(node, is_harmless, NULL))
				return true;
			break;
		case T_DistinctExpr:
			if (!compares(((OpExpr *) node)->opno))
				return true;
			break;
		case T_ScalarArrayOpExpr:
			if (!compares(((ScalarArrayOpExpr *) node)->opno))
				return true;
			break;
		case T_FuncExpr:
			if (check_functions_in_node(node, is_harmless, NULL))
				return true;
			break;
		case T_CoerceViaIO:
			{
				CoerceViaIO *coerce = (CoerceViaIO *) node;
				Oid			type = exprType((Node *) coerce->arg);

				/* to text, from what has an output function of the server */
				if (coerce->resulttype != TEXTOID ||
					(type != INT2OID && type != INT4OID && type != INT8OID &&
					 type != UUIDOID))
					return true;
				break;
			}
		case T_BoolExpr:
		case T_RelabelType:
		case T_NullTest:
		case T_BooleanTest:
		case T_List:
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, needs_more_walker, row);
}

/* Can the expression be evaluated from a row of the table, without fail? */
bool
dc_is_row_only(Node *node, int rti)
{
	RowOnly		row = {.rti = rti};

	return !needs_more_walker(node, &row) && row.vars > 0;
}

static bool
is_widening_cast(Node *node)
{
	if (!IsA(node, FuncExpr))
		return false;
	switch (((FuncExpr *) node)->funcid)
	{
		case F_INT8_INT4:
		case F_INT8_INT2:
		case F_INT4_INT2:
			return true;
		default:
			return false;
	}
}

/*
 * Is this expression a column, an expression over one table of the level, or
 * $1?  Looks through join aliases, through casts that leave the bytes as they
 * are, and through casts between integers, whose hashes agree; "hash" is the
 * hash function for the expression, and becomes that for the term.
 */
bool
dc_term_of(Level *level, Node *node, Term *term, Oid family, Oid *hash)
{
	Level	   *at = level;

	memset(term, 0, sizeof(*term));
	for (;;)
	{
		if (node == NULL)
			return false;
		if (IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (is_widening_cast(node))
		{
			Node	   *arg = linitial(((FuncExpr *) node)->args);
			Oid			type = exprType(arg);
			Oid			narrower = get_opfamily_proc(family, type, type,
													 HASHSTANDARD_PROC);

			if (!OidIsValid(narrower))
				return false;
			*hash = narrower;
			node = arg;
		}
		else if (IsA(node, Var))
		{
			Var		   *var = (Var *) node;
			RangeTblEntry *rte;

			for (Index up = var->varlevelsup; up > 0; up--)
				at = at->parent;
			rte = rt_fetch(var->varno, at->query->rtable);
			if (rte->rtekind == RTE_JOIN && var->varattno > 0)
			{
				node = list_nth(rte->joinaliasvars, var->varattno - 1);
				continue;
			}
			term->level = at;
			term->varno = var->varno;
			term->attno = var->varattno;
			return var->varattno > 0;
		}
		else if (IsA(node, Param))
		{
			Param	   *param = (Param *) node;

			return param->paramkind == PARAM_EXTERN && param->paramid == 1;
		}
		else
		{
			Relids		rels;

			if (IsA(node, SubLink) || checkExprHasSubLink(node) ||
				contain_vars_of_level(node, 1))
				return false;
			rels = pull_varnos(NULL, node);
			if (bms_membership(rels) != BMS_SINGLETON)
				return false;
			term->level = at;
			term->varno = bms_singleton_member(rels);
			term->expression = node;
			return dc_is_row_only(node, term->varno) &&
				!contain_nonstrict_functions(node) &&
				!contain_mutable_functions(node);
		}
	}
}

static Node *
strip_relabel(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

static bool
same_term(const Term *a, const Term *b)
{
	/* an expression is never followed further */
	return a->level == b->level && a->varno == b->varno &&
		a->attno == b->attno && a->expression == b->expression;
}

static List *
add_equality(Level *left_level, Node *left, Level *right_level, Node *right,
			 Oid operator, Oid collation, List *equalities)
{
	Equality   *equality = palloc0(sizeof(Equality));

	equality->operator = operator;
	equality->family = dc_hash_family_of(operator);
	equality->collation = collation;
	if (OidIsValid(equality->family) && op_strict(operator) &&
		op_hashjoinable(operator, exprType(left)) &&
		op_hashjoinable(operator, exprType(right)) &&
		get_op_hash_functions(operator, &equality->hash[0], &equality->hash[1]) &&
		dc_term_of(left_level, left, &equality->side[0], equality->family,
				   &equality->hash[0]) &&
		dc_term_of(right_level, right, &equality->side[1], equality->family,
				   &equality->hash[1]))
		return lappend(equalities, equality);
	return equalities;
}

/*
 * Does the existence of a result imply a row that meets the conditions, and do
 * no other rows have a say in it?
 */
static bool
is_plain_subselect(const Query *query)
{
	return query->commandType == CMD_SELECT &&
		!query->hasAggs && query->groupClause == NIL &&
		query->groupingSets == NIL && query->havingQual == NULL &&
		query->setOperations == NULL && !query->hasTargetSRFs &&
		query->limitCount == NULL && query->limitOffset == NULL &&
		!query->hasDistinctOn && !query->hasWindowFuncs;
}

static List *
add_sublink(Search *search, Level *level, SubLink *sublink, List *equalities)
{
	Query	   *query = (Query *) sublink->subselect;
	Level	   *inner = dc_level_of(search, query);
	List	   *conditions;
	List	   *tests = NIL;
	ListCell   *lc;

	if ((sublink->subLinkType != EXISTS_SUBLINK &&
		 sublink->subLinkType != ANY_SUBLINK) ||
		inner == NULL || !is_plain_subselect(query))
		return equalities;

	conditions = dc_conditions_on((Node *) query->jointree, 0, NIL);
	foreach(lc, conditions)
		equalities = dc_equalities_add(search, inner,
									   ((Condition *) lfirst(lc))->clause,
									   equalities);

	if (sublink->subLinkType == ANY_SUBLINK)
	{
		if (IsA(sublink->testexpr, OpExpr))
			tests = list_make1(sublink->testexpr);
		else if (is_andclause(sublink->testexpr))
			tests = ((BoolExpr *) sublink->testexpr)->args;
	}
	foreach(lc, tests)
	{
		OpExpr	   *op = lfirst(lc);
		Param	   *param;
		TargetEntry *target;

		if (!IsA(op, OpExpr) || list_length(op->args) != 2)
			continue;
		param = (Param *) strip_implicit_coercions(lsecond(op->args));
		if (!IsA(param, Param) || param->paramkind != PARAM_SUBLINK)
			continue;
		target = get_tle_by_resno(query->targetList, param->paramid);
		if (target != NULL && (Node *) param == lsecond(op->args))
			equalities = add_equality(level, linitial(op->args),
									  inner, (Node *) target->expr,
									  op->opno, op->inputcollid, equalities);
	}
	return equalities;
}

List *
dc_equalities_add(Search *search, Level *level, Node *clause, List *equalities)
{
	ListCell   *lc;

	if (clause == NULL)
		return equalities;
	if (IsA(clause, List))
	{
		foreach(lc, (List *) clause)
			equalities = dc_equalities_add(search, level, lfirst(lc), equalities);
	}
	else if (is_andclause(clause))
		equalities = dc_equalities_add(search, level,
									   (Node *) ((BoolExpr *) clause)->args,
									   equalities);
	else if (IsA(clause, SubLink))
		equalities = add_sublink(search, level, (SubLink *) clause, equalities);
	else if (IsA(clause, OpExpr))
	{
		OpExpr	   *op = (OpExpr *) clause;

		if (list_length(op->args) == 2)
			equalities = add_equality(level, linitial(op->args),
									  level, lsecond(op->args),
									  op->opno, op->inputcollid, equalities);
	}
	else if (IsA(clause, ScalarArrayOpExpr))
	{
		/* = ANY (ARRAY[$1]) */
		ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) clause;

		if (op->useOr && IsA(lsecond(op->args), ArrayExpr) &&
			!((ArrayExpr *) lsecond(op->args))->multidims &&
			list_length(((ArrayExpr *) lsecond(op->args))->elements) == 1)
			equalities = add_equality(level, linitial(op->args), level,
									  linitial(((ArrayExpr *) lsecond(op->args))->elements),
									  op->opno, op->inputcollid, equalities);
	}
	return equalities;
}

/* The level that a range table entry of a level stands for, if it is one. */
Level *
dc_level_behind(Search *search, Level *level, int varno)
{
	RangeTblEntry *rte = rt_fetch(varno, level->query->rtable);
	ListCell   *lc;

	if (rte->rtekind == RTE_SUBQUERY)
		return dc_level_of(search, rte->subquery);
	if (rte->rtekind != RTE_CTE || rte->ctelevelsup != 0 || rte->self_reference)
		return NULL;

	/* two references to a WITH query are about two rows of it */
	foreach(lc, level->query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);

		if (strcmp(cte->ctename, rte->ctename) == 0 &&
			cte->cterefcount == 1 && !cte->cterecursive)
			return dc_level_of(search, (Query *) cte->ctequery);
	}
	return NULL;
}

static bool
is_inside(const Level *level, const Level *outer)
{
	for (; level != NULL; level = level->parent)
	{
		if (level == outer)
			return true;
	}
	return false;
}

/*
 * A column of a subquery in FROM that hands through a column of a table: the
 * latter.  A row of the subquery comes from a row of that table with the same
 * value, which meets the subquery's conditions.  "from" is the level that asks;
 * what is inside the subquery must not be told about it in this way.
 */
static bool
look_through(Search *search, const Level *from, Term *term, Level **inner)
{
	Query	   *query;
	TargetEntry *target;
	Term		behind;
	Oid			hash = InvalidOid;

	if (term->level == NULL || term->attno <= 0)
		return false;
	*inner = dc_level_behind(search, term->level, term->varno);
	if (*inner == NULL || is_inside(from, *inner))
		return false;

	query = (*inner)->query;
	target = get_tle_by_resno(query->targetList, term->attno);
	if (target == NULL || target->resjunk ||
		query->setOperations != NULL || query->groupingSets != NIL)
		return false;
	if ((query->hasAggs || query->groupClause != NIL || query->havingQual != NULL) &&
		(target->ressortgroupref == 0 ||
		 get_sortgroupref_clause_noerr(target->ressortgroupref,
									   query->groupClause) == NULL))
		return false;
	if (!IsA(strip_relabel((Node *) target->expr), Var) ||
		!dc_term_of(*inner, (Node *) target->expr, &behind, InvalidOid, &hash))
		return false;
	*term = behind;
	return true;
}

/* Add to the equalities what they imply for the insides of subqueries. */
static List *
look_through_all(Search *search, Level *level, List *equalities)
{
	List	   *entered = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, equalities)
	{
		Equality   *equality = lfirst(lc);

		for (int side = 0; side < 2; side++)
		{
			Term		term = equality->side[side];
			Level	   *inner;
			Equality   *implied;

			CHECK_FOR_INTERRUPTS();
			if (!look_through(search, level, &term, &inner))
				continue;
			implied = palloc(sizeof(Equality));
			*implied = *equality;
			implied->side[side] = term;
			equalities = lappend(equalities, implied);

			if (list_member_ptr(entered, inner))
				continue;
			entered = lappend(entered, inner);
			foreach(lc2, dc_conditions_on((Node *) inner->query->jointree, 0, NIL))
				equalities = dc_equalities_add(search, inner,
											   ((Condition *) lfirst(lc2))->clause,
											   equalities);
		}
	}
	return equalities;
}

/*
 * The equalities that hold for the rows of a table, or of a subquery in FROM,
 * that make a difference, as far as the level itself and those outside say so.
 */
List *
dc_equalities_said(Search *search, Level *level, int rti)
{
	List	   *conditions = dc_conditions_on((Node *) level->query->jointree, rti, NIL);
	List	   *equalities = list_copy(level->given);
	ListCell   *lc;

	foreach(lc, conditions)
		equalities = dc_equalities_add(search, level,
									   ((Condition *) lfirst(lc))->clause,
									   equalities);
	for (Level *outer = level->parent; outer != NULL; outer = outer->parent)
		equalities = list_concat(equalities, outer->wide);
	return equalities;
}

/* All equalities that hold for a table's rows that make a difference. */
List *
dc_equalities_on(Search *search, Level *level, int rti)
{
	return look_through_all(search, level,
							dc_equalities_said(search, level, rti));
}

/*
 * May an equality be followed from another one?  They have to be of one
 * family, and mean the same by "equal" as far as collations go.
 */
static bool
compatible(const Equality *a, const Equality *b)
{
	if (a->family != b->family)
		return false;
	if (a->collation == b->collation)
		return true;
	return OidIsValid(a->collation) && OidIsValid(b->collation) &&
		get_collation_isdeterministic(a->collation) &&
		get_collation_isdeterministic(b->collation);
}

/*
 * All terms that an equality's side is equal to, by way of that equality: a
 * list of Reached, that side's partner first.
 */
List *
dc_equalities_follow(List *equalities, const Equality *first, int side)
{
	Reached    *start = palloc(sizeof(Reached));
	List	   *reached;
	ListCell   *lc;
	ListCell   *lc2;
	ListCell   *lc3;

	start->term = first->side[1 - side];
	start->hash = first->hash[1 - side];
	reached = list_make1(start);

	foreach(lc, reached)
	{
		Term	   *from = &((Reached *) lfirst(lc))->term;

		CHECK_FOR_INTERRUPTS();
		if (from->level == NULL || from->attno == 0)
			continue;
		foreach(lc2, equalities)
		{
			Equality   *next = lfirst(lc2);

			if (!compatible(first, next))
				continue;
			for (int near = 0; near < 2; near++)
			{
				Term	   *to = &next->side[1 - near];
				bool		known = false;

				if (!same_term(&next->side[near], from) || to->level == NULL)
					continue;
				foreach(lc3, reached)
					known |= same_term(&((Reached *) lfirst(lc3))->term, to);
				if (!known)
				{
					Reached    *found = palloc(sizeof(Reached));

					found->term = *to;
					found->hash = next->hash[1 - near];
					reached = lappend(reached, found);
				}
			}
		}
	}
	return reached;
}
