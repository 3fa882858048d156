/*-------------------------------------------------------------------------
 *
 * keys.c
 *		The sources of a query, and their tenant keys.
 *
 * The rewritten query is searched level by level: a level is the query or one
 * of its subqueries, with its own range table.  For each table of a level we
 * want to know which of its rows can make a difference to the answer for a
 * tenant:
 *
 * - the columns that are read, anywhere in the query;
 * - the tenant's key: a column (or a simple expression) that must equal $1 for
 *	 the row to make a difference, or a path to one: a column that must equal a
 *	 unique column of another table, whose row must have the key;
 * - the filter: conditions on the row alone that it must meet.
 *
 * A row makes no difference if one of the conditions that apply to its table
 * fails.  Which conditions apply depends on where the table stands among the
 * joins.  WHERE applies to every table below it; ON to both sides of an inner
 * join, but only to the nullable side of an outer join, since it does not
 * keep rows of the other side out of the result, unless a condition further up
 * is strict for the nullable side and so makes the join an inner one.
 *
 * To the table on the nullable side of an outer join a condition from above
 * the join applies only if it is strict for that table: the row in question
 * may fail it, but its absence puts a row of nulls in its place, which must
 * fail it as well.  Equalities are strict in whatever column they name.
 *
 * Equalities are followed through other columns (a.x = b.y AND b.y = $1) as
 * long as they belong to one hash operator family, in which equal values have
 * equal hashes.  The equalities that hold for every row that matters to a
 * level hold in its subqueries, too; that takes care of correlated ones.  A
 * condition on a column that a subquery in FROM (or a view) hands through
 * applies inside, where the planner could push it down as well.  EXISTS and
 * IN among the conditions contribute the equalities that hold for a row they
 * find, and so does a subquery in FROM that hands a table's column through.
 *
 * Where a key is not certain there is none: any change touches every tenant.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/keys.h"

#include "widget/path.h"

#include "access/hash.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "commands/trigger.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* One level of the query. */
typedef struct Level
{
	struct Level *parent;
	Query	   *query;
	DcColumns  *columns;		/* by range table index */
	List	   *given;			/* Equalities that hold from outside */
	List	   *wide;			/* Equalities that hold for all that matters */
	bool		finished;
} Level;

typedef struct Search
{
	DcAnalysis *analysis;
	List	   *levels;
	Level	   *level;			/* the current one */
} Search;

/* A condition that applies to a table. */
typedef struct Condition
{
	Node	   *clause;
	bool		above;			/* from above an outer join that may null it */
} Condition;

/* A column, an expression over one table, or the tenant: a side of "=". */
typedef struct Term
{
	Level	   *level;			/* NULL: the tenant */
	int			varno;
	AttrNumber	attno;			/* 0: an expression */
	Node	   *expression;
} Term;

typedef struct Equality
{
	Term		side[2];
	Oid			hash[2];		/* hash functions for the operator's inputs */
	Oid			operator;
	Oid			family;
	Oid			collation;
} Equality;

/* A term found equal to another, and the hash function for it. */
typedef struct Reached
{
	Term		term;
	Oid			hash;
} Reached;

/* A way from a table's column to the tenant. */
typedef struct Route
{
	Term		from;
	int			nhops;
	DcHop		hops[DC_MAX_HOPS];
	Oid			key_hash;
	Oid			tenant_hash;
	Oid			operator;
	Oid			family;
	Oid			collation;
} Route;

static List *add_equalities(Search *search, Level *level, Node *clause,
							List *equalities);
static void finish_level(Search *search, Level *level);
static bool search_walker(Node *node, Search *search);

/*-------------------------------------------------------------------------
 * Levels, and the columns that are read
 *-------------------------------------------------------------------------
 */

static Level *
level_of(Search *search, Query *query)
{
	ListCell   *lc;

	foreach(lc, search->levels)
	{
		Level	   *level = lfirst(lc);

		if (level->query == query)
			return level;
	}
	return NULL;
}

/*
 * What the columns that nobody asks for are computed from is not read.  "used"
 * are the output columns that are asked for; NULL: all.
 */
static void
search_targets(Query *query, const DcColumns *used, Search *search)
{
	bool		all = used == NULL || used->all || query->hasTargetSRFs ||
	query->setOperations != NULL || query->distinctClause != NIL;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst(lc);

		if (all || target->resjunk || target->ressortgroupref != 0 ||
			bms_is_member(target->resno, used->attnums))
			search_walker((Node *) target->expr, search);
	}
}

/* The columns that are asked of a WITH query; NULL: all, or not known. */
static const DcColumns *
columns_of_cte(const Level *level, const CommonTableExpr *cte)
{
	ListCell   *lc;

	if (cte->cterefcount != 1 || cte->cterecursive)
		return NULL;
	foreach(lc, level->query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_CTE && rte->ctelevelsup == 0 &&
			strcmp(rte->ctename, cte->ctename) == 0)
			return &level->columns[foreach_current_index(lc) + 1];
	}
	return NULL;
}

/* A level, with all inside it: first what it says, then what it says it of. */
static void
search_level(Query *query, const DcColumns *used, Search *search)
{
	Level	   *outer = search->level;
	Level	   *level = palloc0(sizeof(Level));
	List	   *targets = query->targetList;
	ListCell   *lc;

	check_stack_depth();
	level->parent = outer;
	level->query = query;
	level->columns = palloc0(sizeof(DcColumns) * (list_length(query->rtable) + 1));
	search->levels = lappend(search->levels, level);
	search->level = level;

	search_targets(query, used, search);
	query->targetList = NIL;
	query_tree_walker(query, search_walker, search,
					  QTW_IGNORE_JOINALIASES | QTW_IGNORE_RC_SUBQUERIES);
	query->targetList = targets;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_SUBQUERY)
			search_level(rte->subquery,
						 query->setOperations != NULL ? NULL :
						 &level->columns[foreach_current_index(lc) + 1], search);
	}
	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);

		search_level((Query *) cte->ctequery, columns_of_cte(level, cte), search);
	}
	search->level = outer;
}

static bool
search_walker(Node *node, Search *search)
{
	if (node == NULL)
		return false;

	if (IsA(node, Query))
	{
		search_level((Query *) node, NULL, search);
		return false;
	}
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;
		Level	   *current = search->level;
		Level	   *level = current;
		RangeTblEntry *rte;

		for (Index up = var->varlevelsup; up > 0; up--)
			level = level->parent;
		rte = rt_fetch(var->varno, level->query->rtable);
		if (rte->rtekind != RTE_JOIN)
		{
			DcColumns  *columns = &level->columns[var->varno];

			/* a whole row, or a system column, changes with every update */
			if (var->varattno <= 0)
				columns->all = true;
			else
				columns->attnums = bms_add_member(columns->attnums,
												  var->varattno);
		}
		else
		{
			/* the join's columns are read where they come from */
			search->level = level;
			if (var->varattno > 0)
				search_walker(list_nth(rte->joinaliasvars, var->varattno - 1),
							  search);
			else
				expression_tree_walker((Node *) rte->joinaliasvars,
									   search_walker, search);
			search->level = current;
		}
		return false;
	}
	return expression_tree_walker(node, search_walker, search);
}

/*-------------------------------------------------------------------------
 * Which conditions apply
 *-------------------------------------------------------------------------
 */

/* Is the range table entry somewhere below this node of the join tree? */
static bool
jointree_contains(Node *node, int rti)
{
	ListCell   *lc;

	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
		return ((RangeTblRef *) node)->rtindex == rti;
	if (IsA(node, JoinExpr))
		return jointree_contains(((JoinExpr *) node)->larg, rti) ||
			jointree_contains(((JoinExpr *) node)->rarg, rti);

	foreach(lc, castNode(FromExpr, node)->fromlist)
	{
		if (jointree_contains(lfirst(lc), rti))
			return true;
	}
	return false;
}

/* Does one of the conditions fail when all tables below the node are null? */
static bool
forced_by(List *conditions, Node *node)
{
	ListCell   *lc;

	foreach(lc, conditions)
	{
		Relids		nonnullable = find_nonnullable_rels(((Condition *) lfirst(lc))->clause);
		int			rti = -1;

		while ((rti = bms_next_member(nonnullable, rti)) >= 0)
		{
			if (jointree_contains(node, rti))
				return true;
		}
	}
	return false;
}

static List *
add_condition(List *conditions, Node *clause)
{
	Condition  *condition;

	if (clause == NULL)
		return conditions;
	condition = palloc0(sizeof(Condition));
	condition->clause = clause;
	return lappend(conditions, condition);
}

/*
 * Add the conditions in and below a node of the join tree that apply to a
 * table, or, if rti is 0, to every row that comes out of the node.
 */
static List *
conditions_on(Node *node, int rti, List *conditions)
{
	ListCell   *lc;

	if (node == NULL || IsA(node, RangeTblRef))
		return conditions;

	if (IsA(node, FromExpr))
	{
		FromExpr   *from = (FromExpr *) node;

		conditions = add_condition(conditions, from->quals);
		foreach(lc, from->fromlist)
		{
			if (rti == 0 || jointree_contains(lfirst(lc), rti))
				conditions = conditions_on(lfirst(lc), rti, conditions);
		}
		return conditions;
	}
	else
	{
		JoinExpr   *join = castNode(JoinExpr, node);
		bool		left = rti == 0 || jointree_contains(join->larg, rti);
		bool		right = rti == 0 || !left;
		bool		nulls_left = (join->jointype == JOIN_RIGHT ||
								  join->jointype == JOIN_FULL) &&
		!forced_by(conditions, join->larg);
		bool		nulls_right = (join->jointype == JOIN_LEFT ||
								   join->jointype == JOIN_FULL) &&
		!forced_by(conditions, join->rarg);

		if (join->jointype != JOIN_INNER && join->jointype != JOIN_LEFT &&
			join->jointype != JOIN_RIGHT && join->jointype != JOIN_FULL)
			return conditions;

		/* what may be replaced by nulls */
		if (rti != 0 && ((left && nulls_left) || (!left && nulls_right)))
		{
			foreach(lc, conditions)
				((Condition *) lfirst(lc))->above = true;
		}

		/* ON keeps the rows of a side out, unless the other may be nulls */
		if ((!left || !nulls_right) && (!right || !nulls_left))
			conditions = add_condition(conditions, join->quals);

		if (left && (rti != 0 || !nulls_left))
			conditions = conditions_on(join->larg, rti, conditions);
		if (right && (rti != 0 || !nulls_right))
			conditions = conditions_on(join->rarg, rti, conditions);
		return conditions;
	}
}

/*-------------------------------------------------------------------------
 * Equalities
 *-------------------------------------------------------------------------
 */

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
static bool
is_row_only(Node *node, int rti)
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
static bool
term_of(Level *level, Node *node, Term *term, Oid family, Oid *hash)
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
			return is_row_only(node, term->varno) &&
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
		term_of(left_level, left, &equality->side[0], equality->family,
				&equality->hash[0]) &&
		term_of(right_level, right, &equality->side[1], equality->family,
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
	Level	   *inner = level_of(search, query);
	List	   *conditions;
	List	   *tests = NIL;
	ListCell   *lc;

	if ((sublink->subLinkType != EXISTS_SUBLINK &&
		 sublink->subLinkType != ANY_SUBLINK) ||
		inner == NULL || !is_plain_subselect(query))
		return equalities;

	conditions = conditions_on((Node *) query->jointree, 0, NIL);
	foreach(lc, conditions)
		equalities = add_equalities(search, inner,
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

static List *
add_equalities(Search *search, Level *level, Node *clause, List *equalities)
{
	ListCell   *lc;

	if (clause == NULL)
		return equalities;
	if (IsA(clause, List))
	{
		foreach(lc, (List *) clause)
			equalities = add_equalities(search, level, lfirst(lc), equalities);
	}
	else if (is_andclause(clause))
		equalities = add_equalities(search, level,
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
static Level *
level_behind(Search *search, Level *level, int varno)
{
	RangeTblEntry *rte = rt_fetch(varno, level->query->rtable);
	ListCell   *lc;

	if (rte->rtekind == RTE_SUBQUERY)
		return level_of(search, rte->subquery);
	if (rte->rtekind != RTE_CTE || rte->ctelevelsup != 0 || rte->self_reference)
		return NULL;

	/* two references to a WITH query are about two rows of it */
	foreach(lc, level->query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);

		if (strcmp(cte->ctename, rte->ctename) == 0 &&
			cte->cterefcount == 1 && !cte->cterecursive)
			return level_of(search, (Query *) cte->ctequery);
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
	*inner = level_behind(search, term->level, term->varno);
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
		!term_of(*inner, (Node *) target->expr, &behind, InvalidOid, &hash))
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
			foreach(lc2, conditions_on((Node *) inner->query->jointree, 0, NIL))
				equalities = add_equalities(search, inner,
											((Condition *) lfirst(lc2))->clause,
											equalities);
		}
	}
	return equalities;
}

/* All equalities that hold for a table's rows that make a difference. */
static List *
equalities_on(Search *search, Level *level, int rti)
{
	List	   *conditions = conditions_on((Node *) level->query->jointree, rti, NIL);
	List	   *equalities = list_copy(level->given);
	ListCell   *lc;

	foreach(lc, conditions)
		equalities = add_equalities(search, level,
									((Condition *) lfirst(lc))->clause,
									equalities);
	for (Level *outer = level->parent; outer != NULL; outer = outer->parent)
		equalities = list_concat(equalities, outer->wide);
	return look_through_all(search, level, equalities);
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
static List *
follow(List *equalities, const Equality *first, int side)
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

/*-------------------------------------------------------------------------
 * Routes to the tenant
 *-------------------------------------------------------------------------
 */

/* Do all triggers of a foreign key fire that stand on this side of it? */
static bool
key_triggers_fire(Oid relid, Oid constraint)
{
	Relation	relation = table_open(relid, AccessShareLock);
	TriggerDesc *triggers = relation->trigdesc;
	int			found = 0;
	bool		fire = true;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgconstraint != constraint)
			continue;
		found++;
		fire &= trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN ||
			trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	}
	table_close(relation, NoLock);
	return fire && found >= 2;
}

/* Does a foreign key guarantee that the row referred to is there? */
static bool
reference_is_enforced(Oid relid, AttrNumber attno, Oid referenced,
					  AttrNumber referenced_attno)
{
	Relation	relation;
	bool		enforced = false;
	ListCell   *lc;

	/* children by inheritance do not have their parent's foreign keys */
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE && has_subclass(relid))
		return false;

	relation = table_open(relid, AccessShareLock);
	foreach(lc, RelationGetFKeyList(relation))
	{
		ForeignKeyCacheInfo *key = lfirst(lc);
		HeapTuple	tuple;

		if (key->confrelid != referenced || key->nkeys != 1 ||
			key->conkey[0] != attno || key->confkey[0] != referenced_attno)
			continue;
		tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(key->conoid));
		if (HeapTupleIsValid(tuple))
		{
			Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(tuple);

			enforced |= constraint->convalidated && !constraint->condeferrable &&
				key_triggers_fire(relid, key->conoid) &&
				key_triggers_fire(referenced, key->conoid);
			ReleaseSysCache(tuple);
		}
	}
	table_close(relation, NoLock);
	return enforced;
}

static RangeTblEntry *
rte_of(const Term *term)
{
	return rt_fetch(term->varno, term->level->query->rtable);
}

/* Can the table be looked into on the way to a tenant? */
static bool
is_plain_table(const RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_RELATION &&
		!IsCatalogRelationOid(rte->relid) &&
		!has_subclass(rte->relid) && !has_superclass(rte->relid);
}

/* The routes of length 0: all terms that are equal to the tenant. */
static List *
direct_routes(List *equalities)
{
	List	   *routes = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, equalities)
	{
		Equality   *equality = lfirst(lc);

		for (int side = 0; side < 2; side++)
		{
			if (equality->side[side].level != NULL ||
				equality->side[1 - side].level == NULL)
				continue;
			foreach(lc2, follow(equalities, equality, side))
			{
				Reached    *reached = lfirst(lc2);
				Route	   *route = palloc0(sizeof(Route));

				route->from = reached->term;
				route->key_hash = reached->hash;
				route->tenant_hash = equality->hash[side];
				route->operator = equality->operator;
				route->family = equality->family;
				route->collation = equality->collation;
				routes = lappend(routes, route);
			}
		}
	}
	return routes;
}

/*
 * The routes that begin one hop before those given: wherever a unique column
 * of a route's table is equal to something else.
 */
static List *
longer_routes(List *equalities, List *routes)
{
	List	   *longer = NIL;
	ListCell   *lc;
	ListCell   *lc2;
	ListCell   *lc3;

	foreach(lc, routes)
	{
		Route	   *route = lfirst(lc);

		if (route->from.attno == 0 || route->nhops == DC_MAX_HOPS ||
			!is_plain_table(rte_of(&route->from)))
			continue;
		foreach(lc2, equalities)
		{
			Equality   *equality = lfirst(lc2);

			for (int side = 0; side < 2; side++)
			{
				Term	   *match = &equality->side[side];
				Oid			parent;

				if (match->level != route->from.level ||
					match->varno != route->from.varno || match->attno <= 0 ||
					match->attno == route->from.attno)
					continue;
				parent = rte_of(match)->relid;
				foreach(lc3, follow(equalities, equality, side))
				{
					Reached    *reached = lfirst(lc3);
					Route	   *made;
					RangeTblEntry *rte;
					DcPathIndex index;

					if (reached->term.level == NULL || reached->term.attno <= 0 ||
						(reached->term.level == match->level &&
						 reached->term.varno == match->varno))
						continue;
					rte = rte_of(&reached->term);
					if (rte->rtekind != RTE_RELATION ||
						!dc_path_find_index(parent, match->attno,
											get_atttype(rte->relid,
														reached->term.attno),
											equality->operator,
											equality->collation, &index))
						continue;
					made = palloc0(sizeof(Route));
					*made = *route;
					made->from = reached->term;
					made->nhops = route->nhops + 1;
					memcpy(&made->hops[1], route->hops,
						   sizeof(DcHop) * route->nhops);
					made->hops[0].relid = parent;
					made->hops[0].match = match->attno;
					made->hops[0].next = route->from.attno;
					made->hops[0].equal = equality->operator;
					made->hops[0].collation = equality->collation;
					made->hops[0].enforced =
						reference_is_enforced(rte->relid, reached->term.attno,
											  parent, match->attno);
					longer = lappend(longer, made);
				}
			}
		}
	}
	return longer;
}

static Route *
route_from(List *routes, const Level *level, int rti)
{
	ListCell   *lc;

	foreach(lc, routes)
	{
		Route	   *route = lfirst(lc);

		if (route->from.level == level && route->from.varno == rti)
			return route;
	}
	return NULL;
}

/* Find the shortest route from a table to the tenant; NULL if there is none. */
static Route *
find_route(Search *search, Level *level, int rti, int max_hops)
{
	List	   *equalities = equalities_on(search, level, rti);
	List	   *routes = direct_routes(equalities);

	for (int hops = 0;; hops++)
	{
		Route	   *route = route_from(routes, level, rti);

		if (route != NULL || routes == NIL || hops == max_hops)
			return route;
		routes = longer_routes(equalities, routes);
	}
}

/*-------------------------------------------------------------------------
 * Filters
 *-------------------------------------------------------------------------
 */

static List *
add_filter(Node *clause, int rti, bool above, List *filter)
{
	ListCell   *lc;

	if (clause == NULL || list_length(filter) >= 8)
		return filter;
	if (IsA(clause, List) || is_andclause(clause))
	{
		foreach(lc, IsA(clause, List) ? (List *) clause : ((BoolExpr *) clause)->args)
			filter = add_filter(lfirst(lc), rti, above, filter);
		return filter;
	}
	if (checkExprHasSubLink(clause))
		return filter;

	clause = eval_const_expressions(NULL, copyObject(clause));
	if (is_row_only(clause, rti) && !contain_mutable_functions(clause) &&
		(!above || !contain_nonstrict_functions(clause)))
	{
		ChangeVarNodes(clause, rti, 1, 0);
		filter = lappend(filter, clause);
	}
	return filter;
}

/* The conditions that a row of the table must meet by itself. */
static List *
find_filter(Level *level, int rti)
{
	List	   *filter = NIL;
	ListCell   *lc;

	foreach(lc, conditions_on((Node *) level->query->jointree, rti, NIL))
	{
		Condition  *condition = lfirst(lc);

		filter = add_filter(condition->clause, rti, condition->above, filter);
	}
	return filter;
}

/*-------------------------------------------------------------------------
 * Sources
 *-------------------------------------------------------------------------
 */

static bool
same_watch(const DcSource *a, const DcSource *b)
{
	return a->relid == b->relid &&
		a->invalidation == b->invalidation &&
		a->key == b->key &&
		equal(a->key_expression, b->key_expression) &&
		a->nhops == b->nhops &&
		memcmp(a->hops, b->hops, sizeof(DcHop) * a->nhops) == 0 &&
		a->key_hash == b->key_hash &&
		a->tenant_hash == b->tenant_hash &&
		a->collation == b->collation &&
		equal(a->filter, b->filter);
}

/* Two uses of a source are one if they are watched in the same way. */
static void
add_source(DcAnalysis *analysis, const DcSource *found)
{
	DcSource   *source;
	ListCell   *lc;

	foreach(lc, analysis->sources)
	{
		source = lfirst(lc);
		if (same_watch(source, found))
		{
			source->columns.all |= found->columns.all;
			source->columns.attnums = bms_union(source->columns.attnums,
												found->columns.attnums);
			return;
		}
	}

	source = palloc(sizeof(DcSource));
	*source = *found;
	analysis->sources = lappend(analysis->sources, source);
}

/* Is one of a table's partitions or children a foreign table? */
static bool
has_foreign_member(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			return true;
	}
	return false;
}

static void
finish_relation(Search *search, Level *level, int rti)
{
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
	DcSource	source;
	Route	   *route;

	memset(&source, 0, sizeof(source));
	source.relid = rte->relid;
	source.columns = level->columns[rti];
	/* which rows a sample takes depends on where they are stored */
	source.columns.all |= rte->tablesample != NULL;

	if (IsCatalogRelationOid(rte->relid))
	{
		source.invalidation = DC_INVALIDATION_TTL;
		source.reason = "a system catalog cannot have triggers";
	}
	else if (rte->relkind == RELKIND_FOREIGN_TABLE)
	{
		source.invalidation = DC_INVALIDATION_TTL;
		source.reason = "a foreign table changes without notice";
	}
	else if (rte->relkind == RELKIND_MATVIEW)
	{
		source.invalidation = DC_INVALIDATION_ANY;
		source.reason = "a materialized view changes as a whole";
	}
	else if (rte->relkind != RELKIND_RELATION &&
			 rte->relkind != RELKIND_PARTITIONED_TABLE)
	{
		source.invalidation = DC_INVALIDATION_TTL;
		source.reason = "it is not a table, and cannot have triggers";
	}
	else if (has_foreign_member(rte->relid))
	{
		source.invalidation = DC_INVALIDATION_TTL;
		source.reason = "a part of it is a foreign table, which changes without notice";
	}
	else
	{
		source.filter = find_filter(level, rti);
		route = find_route(search, level, rti, DC_MAX_HOPS);
		if (route != NULL)
		{
			source.invalidation = DC_INVALIDATION_ROW;
			source.key = route->from.attno;
			if (route->from.expression != NULL)
			{
				source.key_expression = copyObject(route->from.expression);
				ChangeVarNodes(source.key_expression, rti, 1, 0);
			}
			source.nhops = route->nhops;
			memcpy(source.hops, route->hops, sizeof(DcHop) * route->nhops);
			source.key_hash = route->key_hash;
			source.tenant_hash = route->tenant_hash;
			source.collation = route->collation;
		}
		else
		{
			source.invalidation = DC_INVALIDATION_ANY;
			source.reason = "no condition on $1 reaches it";
		}
	}
	add_source(search->analysis, &source);
}

/* May a condition on an output column of the subquery be applied inside? */
static bool
column_is_transparent(Query *query, TargetEntry *target)
{
	ListCell   *lc;

	if (query->limitCount != NULL || query->limitOffset != NULL ||
		query->groupingSets != NIL || query->hasModifyingCTE)
		return false;
	if ((query->hasAggs || query->groupClause != NIL || query->havingQual != NULL) &&
		(target->ressortgroupref == 0 ||
		 get_sortgroupref_clause_noerr(target->ressortgroupref,
									   query->groupClause) == NULL))
		return false;
	if (query->hasDistinctOn &&
		(target->ressortgroupref == 0 ||
		 get_sortgroupref_clause_noerr(target->ressortgroupref,
									   query->distinctClause) == NULL))
		return false;
	foreach(lc, query->windowClause)
	{
		WindowClause *window = lfirst(lc);

		if (target->ressortgroupref == 0 ||
			get_sortgroupref_clause_noerr(target->ressortgroupref,
										  window->partitionClause) == NULL)
			return false;
	}
	return true;
}

/*
 * An output column of the inner level equals the tenant, as far as the outer
 * one is concerned: let that hold inside, where it may.
 */
static void
give(Search *search, Level *inner, const Route *route)
{
	Query	   *query = inner->query;
	TargetEntry *target = get_tle_by_resno(query->targetList, route->from.attno);
	Equality   *given;
	ListCell   *lc;

	if (target == NULL || target->resjunk)
		return;

	if (query->setOperations != NULL)
	{
		/* each branch on its own */
		if (query->limitCount != NULL || query->limitOffset != NULL)
			return;
		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst(lc);
			Level	   *branch = rte->rtekind == RTE_SUBQUERY ?
			level_of(search, rte->subquery) : NULL;
			TargetEntry *column;

			if (branch == NULL)
				continue;
			column = get_tle_by_resno(branch->query->targetList,
									  route->from.attno);
			if (column != NULL &&
				exprType((Node *) column->expr) == exprType((Node *) target->expr))
				give(search, branch, route);
		}
		return;
	}

	if (!column_is_transparent(query, target))
		return;

	given = palloc0(sizeof(Equality));
	given->hash[0] = route->tenant_hash;
	given->hash[1] = route->key_hash;
	given->operator = route->operator;
	given->family = route->family;
	given->collation = route->collation;
	if (term_of(inner, (Node *) target->expr, &given->side[1], given->family,
				&given->hash[1]))
		inner->given = lappend(inner->given, given);
}

static void
finish_from(Search *search, Level *level, Node *node)
{
	ListCell   *lc;

	if (node == NULL)
		return;
	if (IsA(node, RangeTblRef))
	{
		int			rti = ((RangeTblRef *) node)->rtindex;
		RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
		Level	   *inner = NULL;

		if (rte->rtekind == RTE_RELATION)
			finish_relation(search, level, rti);
		else
			inner = level_behind(search, level, rti);
		if (inner != NULL)
		{
			List	   *routes = direct_routes(equalities_on(search, level, rti));

			foreach(lc, routes)
			{
				Route	   *route = lfirst(lc);

				if (route->from.level == level && route->from.varno == rti &&
					route->from.attno > 0)
					give(search, inner, route);
			}
			finish_level(search, inner);
		}
	}
	else if (IsA(node, JoinExpr))
	{
		finish_from(search, level, ((JoinExpr *) node)->larg);
		finish_from(search, level, ((JoinExpr *) node)->rarg);
	}
	else
	{
		foreach(lc, castNode(FromExpr, node)->fromlist)
			finish_from(search, level, lfirst(lc));
	}
}

/* Find the sources of a level, and of all inside it. */
static void
finish_level(Search *search, Level *level)
{
	ListCell   *lc;

	if (level->finished)
		return;
	level->finished = true;

	level->wide = list_copy(level->given);
	foreach(lc, conditions_on((Node *) level->query->jointree, 0, NIL))
		level->wide = add_equalities(search, level,
									 ((Condition *) lfirst(lc))->clause,
									 level->wide);
	finish_from(search, level, (Node *) level->query->jointree);
	foreach(lc, search->levels)
	{
		Level	   *inner = lfirst(lc);

		if (inner->parent == level)
			finish_level(search, inner);
	}
}

/*
 * Find the sources of a rewritten query, with their columns, keys and filters,
 * and add them to the analysis, in the order of their appearance.
 */
void
dc_keys_find(Query *query, DcAnalysis *analysis)
{
	Search		search = {.analysis = analysis};

	search_level(query, NULL, &search);
	finish_level(&search, linitial(search.levels));
}
