/*-------------------------------------------------------------------------
 *
 * levels.c
 *		The levels of a query, the columns that are read, the conditions that apply.
 *
 * See keys.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/keys_internal.h"

#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "parser/parsetree.h"

static bool search_walker(Node *node, Search *search);

Level *
dc_level_of(Search *search, Query *query)
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
void
dc_level_search(Query *query, const DcColumns *used, Search *search)
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
			dc_level_search(rte->subquery,
							query->setOperations != NULL ? NULL :
							&level->columns[foreach_current_index(lc) + 1], search);
	}
	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);

		dc_level_search((Query *) cte->ctequery, columns_of_cte(level, cte), search);
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
		dc_level_search((Query *) node, NULL, search);
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
 *
 * What a row of the table is joined to comes out of the other side of the join,
 * so the conditions on all that does apply, too; unless that side may be nulls.
 */
List *
dc_conditions_on(Node *node, int rti, List *conditions)
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
			bool		beside = rti != 0 && !jointree_contains(lfirst(lc), rti);

			conditions = dc_conditions_on(lfirst(lc), beside ? 0 : rti, conditions);
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

		if ((left && rti != 0) || !nulls_left)
			conditions = dc_conditions_on(join->larg, left ? rti : 0, conditions);
		if ((right && rti != 0) || !nulls_right)
			conditions = dc_conditions_on(join->rarg, right ? rti : 0, conditions);
		return conditions;
	}
}
